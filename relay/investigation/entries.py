"""Log entries: the services' lines as they print them, as `gcloud logging read` prints them, or of Cloud Logging's API.

No I/O: text in, entries out.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from relay import moments

_LABELS = "logging.googleapis.com/labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One log line, wherever it was read."""

    time: datetime
    fields: Mapping[str, Any]
    labels: Mapping[str, str]
    severity: str

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> Self | None:
        """Return the entry in a line of a service's output, or in an entry as `gcloud logging read` prints it."""
        fields = line.get("jsonPayload", line)
        labels = line.get("labels", line.get(_LABELS, {}))
        time = moments.from_text(line.get("timestamp", line.get("time")))
        if not isinstance(fields, dict) or not isinstance(labels, dict) or time is None:
            return None
        return cls(time=time, fields=fields, labels=labels, severity=str(line.get("severity", "INFO")))

    @property
    def kind(self) -> str:
        """Which canonical line this is: `webhook`, `delivery`, `webhook_status`; empty for any other line."""
        return str(self.fields.get("line", ""))

    @property
    def event_id(self) -> str:
        """The event that the line is about; empty for none."""
        return self.labels.get("event_id", "")


def read_entries(text: str) -> Iterator[Entry]:
    """Yield the entries in `text`: one JSON object a line, or one JSON array. Other text in it is ignored."""
    whole = _json_or_none(text) if text.lstrip().startswith("[") else None
    objects = whole if isinstance(whole, list) else (_json_or_none(line) for line in text.splitlines())
    for line in objects:
        entry = Entry.from_line(line) if isinstance(line, dict) else None
        if entry is not None:
            yield entry


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
