"""A webhook's body as the receiver's log line holds it: whole, masked, cut, or not at all. No I/O."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from relay.errors import CaptureError
from relay.events import event_id_of
from relay.investigation.capture import capture_of
from relay.investigation.entries import Entry

MAX_SHOWN = 100_000
"""Characters of a body that are shown: a browser lays them out in well under a second."""


class Completeness(StrEnum):
    """How much of a webhook's body its line holds."""

    WHOLE = "whole"
    MASKED = "masked"
    CUT = "cut"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What the log holds of an event's body."""

    completeness: Completeness
    body: bytes = b""
    """The body as it came; masked, as JSON; or its beginning."""
    body_bytes: int = 0
    """How long the body was."""

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Payload":
        """Return what the lines of one event hold: its whole body, if one of them does."""
        held = [_held(entry) for entry in entries if entry.kind == "webhook"]
        return min(held, key=lambda payload: _BEST_FIRST.index(payload.completeness), default=_NOTHING)

    @property
    def is_whole(self) -> bool:
        """Whether `body` is the webhook's body, byte for byte."""
        return self.completeness is Completeness.WHOLE

    @property
    def is_readable(self) -> bool:
        """Whether `body` may be read as JSON: it is not cut."""
        return self.completeness in (Completeness.WHOLE, Completeness.MASKED)

    @property
    def text(self) -> str:
        """The body as a person reads it, MAX_SHOWN characters of it at most."""
        content = json_in(self.body) if self.is_readable else NO_JSON
        if content is NO_JSON:
            return self.body[: 4 * MAX_SHOWN].decode(errors="backslashreplace")[:MAX_SHOWN]
        return pretty(content, limit=MAX_SHOWN)

    @property
    def missing(self) -> str:
        """What the log does not hold of it, and where that is; empty for a whole body."""
        size = f", {self.body_bytes:,} bytes," if self.body_bytes else ""
        whole = f"The whole body{size} is at OneStock, and at Pub/Sub as long as it keeps the event."
        match self.completeness:
            case Completeness.WHOLE:
                return ""
            case Completeness.MASKED:
                return f"Values that may be about a person are masked (LOG_CONTENT=redacted). {whole}"
            case Completeness.CUT:
                return f"The log holds only the beginning of the body, or its size. {whole}"
            case Completeness.ABSENT:
                return f"The log holds nothing of the body: LOG_CONTENT=off, or no line of its receipt. {whole}"
            case _:
                assert_never(self.completeness)


class _NoJson:
    """The type of `NO_JSON`."""


NO_JSON = _NoJson()
"""Stands for the content of what is no JSON; None is JSON's null."""
_BEST_FIRST = list(Completeness)
_NOTHING = Payload(completeness=Completeness.ABSENT)


def _held(entry: Entry) -> Payload:
    fields = entry.fields
    size = fields.get("body_bytes")
    body_bytes = size if isinstance(size, int) else 0
    if not {"content", "content_base64"} & fields.keys():
        return Payload(completeness=Completeness.ABSENT, body_bytes=body_bytes)
    try:
        capture = capture_of(entry)
    except CaptureError:
        return Payload(completeness=Completeness.ABSENT, body_bytes=body_bytes)
    # The id proves it: a mask such as "26 bytes that are not JSON" may be as long as what it stands for.
    is_its_body = entry.event_id in ("", event_id_of(capture.event_type, capture.body))
    if capture.body_is_whole and is_its_body:
        completeness = Completeness.WHOLE
    elif isinstance(fields.get("content"), dict | list):
        completeness = Completeness.MASKED
    else:
        completeness = Completeness.CUT
    return Payload(completeness=completeness, body=capture.body, body_bytes=body_bytes)


def json_in(body: bytes | str) -> Any:
    """Return the JSON value in `body`; NO_JSON if it holds none, or one that is nested too deeply to be read."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NO_JSON


def json_problem(text: str) -> str:
    """Return why a text is no JSON, and where; empty if it is JSON."""
    try:
        json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return f"{error.msg} in line {error.lineno}, column {error.colno}"
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as error:
        return str(error)
    return ""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def pretty(content: Any, *, limit: int) -> str:
    """Return the first `limit` characters of a JSON value, indented. What is nested deeply stays in one line.

    Half of a surrogate pair, which no page can hold, is shown as the escape that JSON has for it.
    """
    try:
        text = _beginning(json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(content), limit)
    except RecursionError:
        text = _in_one_line(content)
    return text.encode(errors="backslashreplace").decode()[:limit]


def _beginning(parts: Iterable[str], limit: int) -> str:
    """Join parts until the limit: indented, a small body of deep nesting would take gigabytes."""
    taken: list[str] = []
    length = 0
    for part in parts:
        taken.append(part)
        length += len(part)
        if length >= limit:
            break
    return "".join(taken)


def _in_one_line(content: Any) -> str:
    try:
        return json.dumps(content, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to be shown)"
