"""Captured webhooks: a raw HTTP request, a JSON object, or the receiver's log lines. No I/O: bytes in, captures out."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Self
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, ValidationError, model_validator

from relay.errors import CaptureError
from relay.investigation.diagnosis import Capture, Header
from relay.investigation.entries import Entry, read_entries
from relay.receiver.signature import HEADER

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/[0-9.]+", re.ASCII)
_EVENT_TYPE = re.compile(rb"[A-Z]+ \S*/webhooks/onestock/([^/?#\s]+)", re.ASCII)
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


def read_request(data: bytes) -> Capture:
    """Return the webhook captured in `data`, a file of `relay capture` or a raw HTTP request. Raises CaptureError."""
    captures = _from_json(data) or _from_http(data)
    if not captures:
        raise CaptureError(
            "holds no captured webhook; give a file that `relay capture` has written, or a raw HTTP request"
        )
    return captures[0]


def _pairs(headers: Any) -> Any:
    """Accept a mapping, and a list of pairs."""
    return tuple(headers.items()) if isinstance(headers, dict) else headers


class _Request(BaseModel):
    headers: Annotated[tuple[Header, ...], BeforeValidator(_pairs)]
    body: str | None = None
    body_base64: str | None = None
    event_type: str = ""
    masked: bool = False

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
    whole = not request.masked
    return [Capture(headers=request.headers, body=body, body_is_whole=whole, event_type=request.event_type)]


def _unbased(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise CaptureError(f"body_base64 is not base64: {error}") from error


def _from_log(data: bytes) -> Iterator[Capture]:
    for entry in read_entries(data.decode(errors="replace")):
        if entry.fields.get("line") == "webhook" and "signature_header" in entry.fields:
            yield capture_of(entry)


def capture_of(entry: Entry) -> Capture:
    """Return what the receiver's log line of a webhook holds of it. Raises CaptureError for base64 that is none."""
    fields = entry.fields
    header, content = fields.get("signature_header"), fields.get("content", "")
    headers = ((HEADER, header),) if isinstance(header, str) else ()
    if isinstance(fields.get("content_base64"), str):
        body = _unbased(fields["content_base64"])
    else:
        # A masked body is JSON in the line's JSON.
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
    # A body that the log has cut or masked has another length.
    whole = isinstance(content, str) and len(body) == fields.get("body_bytes")
    return Capture(headers=headers, body=body, body_is_whole=whole, event_type=str(fields.get("event_type", "")))


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
    named = _EVENT_TYPE.match(first)
    return [
        Capture(
            headers=headers,
            body=body[: int(length)] if length.isdecimal() and length.isascii() else body,
            event_type=unquote(named[1].decode(errors="replace")) if named else "",
        )
    ]
