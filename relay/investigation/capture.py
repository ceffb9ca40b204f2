"""Captured webhooks: a raw HTTP request, a JSON object, or the receiver's log lines. No I/O: bytes in, captures out."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ValidationError, model_validator

from relay.errors import CaptureError
from relay.investigation.diagnosis import Capture, Header
from relay.investigation.entries import Entry, read_entries
from relay.receiver.signature import HEADER

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/[0-9.]+", re.ASCII)
_HEADER_LINE = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", re.ASCII)
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")

FORMS = (
    "a raw HTTP request (headers, an empty line, the body), "
    'a JSON object {"headers": {...}, "body": "..." or "body_base64": "..."}, or log lines of the receiver'
)


def read_captures(data: bytes) -> list[Capture]:
    """Return the webhooks captured in `data`, in any of the three FORMS. Raises CaptureError if there is none."""
    captures = _from_json(data) or list(_from_log(data)) or _from_http(data)
    if not captures:
        raise CaptureError(f"The file holds no webhook with its headers; give {FORMS}")
    return captures


def _pairs(headers: Any) -> Any:
    """Accept a mapping, and a list of pairs."""
    return tuple(headers.items()) if isinstance(headers, dict) else headers


class _Request(BaseModel):
    headers: Annotated[tuple[Header, ...], BeforeValidator(_pairs)]
    body: str | None = None
    body_base64: str | None = None

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if (self.body is None) == (self.body_base64 is None):
            raise ValueError("give the body as 'body' or as 'body_base64'")
        return self


def _from_json(data: bytes) -> list[Capture]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return []
    if not isinstance(content, dict) or "headers" not in content:
        return []
    try:
        request = _Request.model_validate(content)
        body = _unbased(request.body_base64) if request.body is None else request.body.encode()
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise CaptureError(f"The captured request is incomplete: {problems[0]['msg']}") from error
    return [Capture(headers=request.headers, body=body)]


def _unbased(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise CaptureError(f"body_base64 is not base64: {error}") from error


def _from_log(data: bytes) -> Iterator[Capture]:
    for entry in read_entries(data.decode(errors="replace")):
        if entry.fields.get("line") == "webhook" and "signature_header" in entry.fields:
            yield _of_entry(entry)


def _of_entry(entry: Entry) -> Capture:
    fields = entry.fields
    header = fields["signature_header"]
    headers = ((HEADER, header),) if isinstance(header, str) else ()
    if isinstance(fields.get("content_base64"), str):
        body = _unbased(fields["content_base64"])
    else:
        body = str(fields.get("content", "")).encode()
    # A body that the log has cut or masked has another length.
    return Capture(headers=headers, body=body, body_is_whole=len(body) == fields.get("body_bytes"))


def _from_http(data: bytes) -> list[Capture]:
    match = _END_OF_HEAD.search(data)
    head, body = (data[: match.start()], data[match.end() :]) if match else (data.rstrip(), b"")
    first, *lines = re.split(rb"\r?\n", head)
    if not _REQUEST_LINE.fullmatch(first):
        lines.insert(0, first)
    parsed = [_HEADER_LINE.fullmatch(line) for line in lines]
    headers = tuple((line[1].decode(), line[2].decode("latin-1")) for line in parsed if line)
    if not headers or len(headers) != len(parsed):
        return []
    known = {name.lower(): value for name, value in headers}
    if "transfer-encoding" in known:
        raise CaptureError("The captured body is in chunks; write it as one, or give the request as JSON")
    length = known.get("content-length", "")
    return [Capture(headers=headers, body=body[: int(length)] if length.isdecimal() and length.isascii() else body)]
