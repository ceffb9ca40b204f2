"""Log entries: the services' lines as they print them, as `gcloud logging read` prints them, or of Cloud Logging's API.

No I/O: text in, entries out.
"""

import base64
import binascii
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import IO, Any, Self

from relay import moments

_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # Also of a whole pair.
_TOO_LARGE = 10**15  # More than any status, count, Unix time or number of milliseconds.
_LABELS = "logging.googleapis.com/labels"
_TRACE = "logging.googleapis.com/trace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One log line, wherever it was read."""

    time: datetime
    fields: Mapping[str, Any]
    labels: Mapping[str, str]
    severity: str
    trace_id: str = ""

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> Self | None:
        """Return the entry in a line of a service's output, or in an entry as `gcloud logging read` prints it."""
        fields = line.get("jsonPayload", line)
        labels = line.get("labels", line.get(_LABELS, {}))
        time = moments.from_text(line.get("timestamp", line.get("time")))
        if not isinstance(fields, dict) or not isinstance(labels, dict) or time is None:
            return None
        severity, trace = str(line.get("severity", "INFO")), line.get("trace", line.get(_TRACE))
        texts = {name: value for name, value in labels.items() if isinstance(value, str)}
        return cls(time=time, fields=fields, labels=texts, severity=severity, trace_id=trace_id_of(trace))

    @property
    def kind(self) -> str:
        """Which canonical line this is: `webhook`, `delivery`, `webhook_status`; empty for any other line."""
        return str(self.fields.get("line", ""))

    @property
    def event_id(self) -> str:
        """The event that the line is about; empty for none."""
        return self.labels.get("event_id", "")

    @property
    def runs(self) -> list[Mapping[str, Any]]:
        """How each handler of a delivery ended; empty for a line that does not tell."""
        runs = self.fields.get("handlers")
        return [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []

    def number(self, name: str) -> int:
        """Return the field `name`; 0 where it is no whole number: a handler's own line may have any fields."""
        value = number_of(self.fields.get(name))
        return int(value) if value == int(value) else 0

    @property
    def content(self) -> Mapping[str, Any] | None:
        """The webhook's body as its line holds it, with masked values or whole; None if it is not there."""
        content = self.fields.get("content")
        try:
            if "content_base64" in self.fields:
                content = base64.b64decode(str(self.fields["content_base64"]), validate=True)
            if isinstance(content, str | bytes):
                content = json.loads(content)
        except (ValueError, binascii.Error, RecursionError):
            return None
        return content if isinstance(content, dict) else None


def number_of(value: object) -> float:
    """Return `value`; 0 where it is no number, or one that no line of ours has: JSON's may be too large for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value if -_TOO_LARGE < value < _TOO_LARGE else 0


def trace_id_of(name: object) -> str:
    """Return the id in a trace's full name, `projects/PROJECT/traces/ID`; empty for none."""
    return str(name or "").rpartition("/")[2]


def read_entries(text: str) -> Iterator[Entry]:
    """Yield the entries in `text`: one JSON object a line, or one JSON array. Other text in it is ignored."""
    return entries_in(io.StringIO(text))


def entries_in(file: IO[str]) -> Iterator[Entry]:
    """Yield the entries in `file`, as `read_entries` does; hold one line at a time, unless it is a JSON array."""
    start = next((line for line in file if not line.isspace()), "")
    if start.lstrip().startswith("["):
        whole = start + file.read()
        objects = _json_or_none(whole)
        if isinstance(objects, list):
            return _entries_of(objects)
        file = io.StringIO(whole)
        start = ""
    return _entries_of(_json_or_none(line) for line in chain([start], file))


def _entries_of(objects: Iterable[Any]) -> Iterator[Entry]:
    for line in objects:
        entry = Entry.from_line(line) if isinstance(line, dict) else None
        if entry is not None:
            yield entry


def _json_or_none(text: str) -> Any:
    try:
        value = json.loads(text)
        # Half of a surrogate pair is no character: no page and no terminal can show it.
        return (
            json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace")) if _HALF.search(text) else value
        )
    except (ValueError, RecursionError):
        return None
