"""Log lines: JSON for Cloud Logging on stdout, or text on a terminal. Redaction happens here and nowhere else.

Each service writes one canonical line for each webhook and each delivery (`line`: webhook, delivery); what a
handler logs meanwhile carries the same labels and the same trace.
"""

import base64
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from google.cloud.logging_v2.handlers import StructuredLogHandler
from pydantic_core import from_json

from relay.settings.base import LogContent
from relay.trace import Trace

MAX_CONTENT_BYTES = 150_000  # Cloud Logging refuses entries over 256 KiB; base64 and escapes take the rest.
MAX_UNVERIFIED_CONTENT_BYTES = 8_000  # Anybody can send these: enough for a real event, not for flooding the log.

_MASK = "***"
# What may be read in a redacted log: ids and states, by which a person on call finds an order. The rest may be about
# a person. Ids are recognised by their ending, too.
_OPEN_FIELDS = frozenset({"id", "date", "topic", "state", "old_state", "new_state", "quantity", "sales_channel"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogContext:
    """What each log line written for one event has in common."""

    trace: Trace
    labels: Mapping[str, str]


_context: ContextVar[LogContext | None] = ContextVar("log_context", default=None)


@contextmanager
def logging_as(context: LogContext) -> Iterator[None]:
    """Give each log line written inside the block the labels and the trace of `context`."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


def configure(*, project: str, service: str, stream: TextIO = sys.stdout) -> None:
    """Send all log lines of this process to `stream`, marked with `service`.

    The lines are text if `stream` is a terminal, else one JSON object each, as Cloud Logging reads them.
    """
    handler: logging.Handler
    if stream.isatty():
        handler = logging.StreamHandler(stream)
        handler.setFormatter(_TerminalFormatter())
    else:
        # Google's handler has no types.
        handler = _CloudHandler(stream=stream, project_id=project, labels={"service": service})  # type: ignore[no-untyped-call]
    # In front of Google's own filter, which turns what this one adds into the JSON fields.
    handler.filters.insert(0, _ContextFilter(project))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    gunicorn = logging.getLogger("gunicorn.error")
    gunicorn.handlers.clear()
    gunicorn.propagate = True


def content_fields(body: bytes, mode: LogContent, *, verified: bool) -> dict[str, Any]:
    """Return the log fields that hold a webhook's body, bounded so that Cloud Logging takes the line.

    `content` is the text, or `content_base64` what is not UTF-8; `content_truncated` says that there was more.
    Redacted content keeps ids and states and masks every other value.
    """
    if mode is LogContent.OFF:
        return {}
    if mode is LogContent.REDACTED:
        return {"content": _redacted(body)}
    limit = MAX_CONTENT_BYTES if verified else MAX_UNVERIFIED_CONTENT_BYTES
    shown, truncated = body[:limit], {"content_truncated": True} if len(body) > limit else {}
    try:
        text = shown.decode()
    except UnicodeDecodeError:
        return {"content_base64": base64.b64encode(shown).decode(), **truncated}
    # Control characters grow sixfold in JSON: such a body is shorter in base64.
    if len(json.dumps(text, ensure_ascii=False)) > 2 * len(text) + 100:
        return {"content_base64": base64.b64encode(shown).decode(), **truncated}
    return {"content": text, **truncated}


def _redacted(body: bytes) -> Any:
    try:
        return _masked(from_json(body), name="") if len(body) <= MAX_CONTENT_BYTES else f"{len(body)} bytes"
    except ValueError:
        return f"{len(body)} bytes that are not JSON"


def _masked(value: Any, *, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, name=key) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, name=name) for item in value]
    return value if name in _OPEN_FIELDS or name.endswith("_id") else _MASK


class _ContextFilter(logging.Filter):
    """Adds the labels and the trace of the event at work, unless the line brings its own."""

    def __init__(self, project: str) -> None:
        super().__init__()
        self._project = project

    def filter(self, record: logging.LogRecord) -> bool:
        context = _context.get()
        if context is not None:
            record.labels = {**context.labels, **getattr(record, "labels", {})}
            record.trace = f"projects/{self._project}/traces/{context.trace.trace_id}"
            record.span_id = context.trace.span_id
            record.trace_sampled = context.trace.sampled
        return True


class _CloudHandler(StructuredLogHandler):
    """Adds `time`: Cloud Logging takes it as the entry's timestamp, and a line read from a file has no other."""

    def format(self, record: logging.LogRecord) -> str:
        # Google's handler removes the field from what it is given, so it is put in front of what it returns.
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: str = super().format(record)  # type: ignore[no-untyped-call] # Google's handler has no types
        return f'{{"time": "{moment}", {line[1:]}'


class _TerminalFormatter(logging.Formatter):
    """One line of text: time, severity, message, and which event it is about."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)-8s %(message)s%(about)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        event_id = getattr(record, "labels", {}).get("event_id")
        record.about = f"  [event {event_id[:12]}]" if event_id else ""
        return super().format(record)
