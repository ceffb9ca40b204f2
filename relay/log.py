"""Log lines: JSON for Cloud Logging on stdout, or text on a terminal. Redaction happens here and nowhere else.

Each service writes one canonical line for each webhook and each delivery (`line`: webhook, delivery); what a
handler logs meanwhile carries the same labels and the same trace. The canonical line goes past Python's logging, which
takes twice as long for a line as writing it does.
"""

import base64
import json
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from pydantic_core import from_json, to_json

from relay.settings.base import LogContent
from relay.trace import Trace

MAX_CONTENT_BYTES = 150_000  # Cloud Logging refuses entries over 256 KiB; base64 and escapes take the rest.
MAX_UNVERIFIED_CONTENT_BYTES = 8_000  # Anybody can send these: enough for a real event, not for flooding the log.

LABELS = "logging.googleapis.com/labels"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A canonical line."""

    logger: str
    severity: int
    """One of logging's levels."""
    message: str
    context: LogContext
    fields: Mapping[str, Any]
    http_request: Mapping[str, Any]


WriteLine = Callable[[Line], None]
"""Writes one canonical line. Never raises: a request does not fail because of its log."""


def write_by_logging(line: Line) -> None:
    """Write a line as every other one: for a terminal, and where nothing was configured."""
    with logging_as(line.context):
        extra = {"json_fields": line.fields, "http_request": line.http_request}
        logging.getLogger(line.logger).log(line.severity, "%s", line.message, extra=extra)


def configure(*, project: str, service: str, stream: TextIO = sys.stdout) -> WriteLine:
    """Send all log lines of this process to `stream`, marked with `service`; return what writes canonical lines.

    The lines are text if `stream` is a terminal, else one JSON object each, as Cloud Logging reads them.
    """
    cloud = _CloudHandler(stream, project=project, service=service)
    handler: logging.Handler = cloud
    if stream.isatty():
        handler = logging.StreamHandler(stream)
        handler.setFormatter(_TerminalFormatter())
    handler.addFilter(_ContextFilter())
    # Looked up for each line and shown in none.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    gunicorn = logging.getLogger("gunicorn.error")
    gunicorn.handlers.clear()
    gunicorn.propagate = True
    return cloud.write_line if handler is cloud else write_by_logging


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
    if len(to_json(text)) > 2 * len(shown) + 100:
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

    def filter(self, record: logging.LogRecord) -> bool:
        context = _context.get()
        if context is not None:
            record.labels = {**context.labels, **getattr(record, "labels", {})}
            record.event_trace = context.trace
        return True


class _CloudHandler(logging.StreamHandler[TextIO]):
    """One JSON object a line with the fields that Cloud Logging reads ("Structured logging", Google Cloud).

    It writes what google-cloud-logging's StructuredLogHandler writes, and `time`; that handler encodes a line in six
    pieces and looks for a Flask request for each, which cost a webhook a fifth of its time (bench/README.md).

    A line's `extra` may hold `json_fields`, `labels` and `http_request`.
    """

    def __init__(self, stream: TextIO, *, project: str, service: str) -> None:
        super().__init__(stream)
        self._traces = f"projects/{project}/traces/"
        self._labels = {"service": service}
        self._outbox: deque[str] = deque()
        self._writing = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record of logging's."""
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - a request does not fail because of its log
            self.handleError(record)

    def write_line(self, line: Line) -> None:
        """See `WriteLine`. It leaves out the place in the code, which is always the same."""
        try:
            entry = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "severity": logging.getLevelName(line.severity),
                "message": line.message,
                **line.fields,
                LABELS: {"python_logger": line.logger, **self._labels, **line.context.labels},
                **self._trace_fields(line.context.trace),
                "httpRequest": line.http_request,
            }
            self._write(_json(entry))
        except Exception:  # noqa: BLE001 - as for every other line
            self.handleError(logging.makeLogRecord({"msg": line.message}))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for a record of logging's."""
        entry = {
            # First, and ours: a line that is read from a file has no other time.
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            **self._message(record),
            **getattr(record, "json_fields", {}),
            LABELS: {"python_logger": record.name, **self._labels, **getattr(record, "labels", {})},
            "logging.googleapis.com/sourceLocation": {
                "file": record.pathname,
                "line": record.lineno,
                "function": record.funcName,
            },
        }
        trace: Trace | None = getattr(record, "event_trace", None)
        if trace is not None:
            entry.update(self._trace_fields(trace))
        if hasattr(record, "http_request"):
            entry["httpRequest"] = record.http_request
        return _json(entry)

    def _write(self, line: str) -> None:
        """Write the line, and those that others have put out meanwhile; or let them, if they are at it.

        So no request waits for another's line; under load that cost the worker a fifth of its time.
        """
        self._outbox.append(line + self.terminator)
        while self._outbox and self._writing.acquire(blocking=False):
            try:
                self.stream.write("".join(self._outbox.popleft() for _ in range(len(self._outbox))))
                self.stream.flush()
            finally:
                self._writing.release()

    def _trace_fields(self, trace: Trace) -> Mapping[str, Any]:
        return {
            "logging.googleapis.com/trace": self._traces + trace.trace_id,
            "logging.googleapis.com/spanId": trace.span_id,
            "logging.googleapis.com/trace_sampled": trace.sampled,
        }

    def _message(self, record: logging.LogRecord) -> Mapping[str, Any]:
        if isinstance(record.msg, Mapping) and not record.exc_info:
            return record.msg
        return {"message": super().format(record)}


def _json(entry: Mapping[str, Any]) -> str:
    try:
        return to_json(entry, fallback=str).decode()
    except ValueError:
        # Half a surrogate pair, which a body may hold as an escape: the standard library writes it as one again.
        return json.dumps(entry, default=str)


class _TerminalFormatter(logging.Formatter):
    """One line of text: time, severity, message, and which event it is about."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)-8s %(message)s%(about)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        event_id = getattr(record, "labels", {}).get("event_id")
        record.about = f"  [event {event_id[:12]}]" if event_id else ""
        return super().format(record)
