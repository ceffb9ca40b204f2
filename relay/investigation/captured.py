"""Received webhooks kept as files, and the fixtures that tests make of such files. No I/O: log entries in, text out."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from relay import logs
from relay.investigation.capture import capture_of
from relay.investigation.diagnosis import Capture
from relay.investigation.entries import Entry
from relay.settings.base import LogContent

_NOT_OF_A_NAME = re.compile(r"[^a-z0-9_]+")
_ID_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWebhook:
    """One received webhook. Its `text` is what `relay send --captured` and `relay signature diagnose` read."""

    capture: Capture
    received_at: datetime
    event_id: str
    is_masked: bool

    @classmethod
    def of(cls, entry: Entry, *, is_raw: bool) -> Self | None:
        """Return the webhook in a log line of the receiver; None if the line does not hold the whole body.

        The body is masked as LOG_CONTENT=redacted masks it, and the signature is left out, unless `is_raw`.
        """
        capture = capture_of(entry)
        if is_raw:
            kept = capture if capture.body_is_whole else None
        else:
            kept = _masked(capture, is_masked_by_the_log=isinstance(entry.fields.get("content"), dict | list))
        if kept is None:
            return None
        event_id = entry.event_id or hashlib.sha256(kept.body).hexdigest()
        return cls(capture=kept, received_at=entry.time, event_id=event_id, is_masked=not is_raw)

    @property
    def file_name(self) -> str:
        """A name that sorts by time and is the same each time the line is read."""
        # The receiver also logs the event types of webhooks that it refuses, and anybody can send those.
        time = f"{self.received_at.astimezone(UTC):%Y%m%dT%H%M%S.%f}"[:-3]
        return f"{time}-{_plain(self.capture.event_type)}-{self.event_id[:_ID_LENGTH]}.json"

    @property
    def text(self) -> str:
        """The file's content."""
        return _json(
            {
                "event_type": self.capture.event_type,
                "received_at": self.received_at.astimezone(UTC).isoformat(),
                "masked": self.is_masked,
                "headers": dict(self.capture.headers),
                **_body_fields(self.capture.body),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFixture:
    """An event for the tests of handlers: one for each event type and new state."""

    event_type: str
    content: dict[str, Any]

    @classmethod
    def of(cls, capture: Capture) -> Self | None:
        """Return the event in a captured webhook, always masked; None if its body is no JSON object."""
        content = _masked_content(capture.body)
        return cls(event_type=capture.event_type, content=content) if isinstance(content, dict) else None

    @property
    def name(self) -> str:
        """The name by which a test asks for it, such as `order_state_changed_packed`."""
        state = self.content.get("new_state", self.content.get("state"))
        return _plain("_".join([self.event_type, *([state] if isinstance(state, str) else [])]))

    @property
    def text(self) -> str:
        """The file's content, for reading and changing by hand."""
        return _json({"event_type": self.event_type, "content": self.content})


def _masked(capture: Capture, *, is_masked_by_the_log: bool) -> Capture | None:
    content = _masked_content(capture.body) if capture.body_is_whole or is_masked_by_the_log else None
    if content is None:
        return None
    return Capture(headers=(), body=json.dumps(content).encode(), body_is_whole=False, event_type=capture.event_type)


def _masked_content(body: bytes) -> dict[str, Any] | list[Any] | None:
    """Return the body masked; None if it is too large, or neither a JSON object nor an array."""
    content = logs.content_fields(body, LogContent.REDACTED, verified=True)["content"]
    return content if isinstance(content, dict | list) else None


def _body_fields(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _plain(text: str) -> str:
    """Return the text as part of a file's name."""
    return _NOT_OF_A_NAME.sub("_", text.lower())[:100].strip("_") or "unknown"


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
