"""Log lines: JSON for Cloud Logging on stdout, or text on a terminal. Redaction happens here and nowhere else.

Each service writes one canonical line for each webhook and each delivery (`line`: webhook, delivery). What a handler
logs meanwhile carries the same labels and the same trace.
"""

import base64
import copy
import json
import logging
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from google.cloud.logging.handlers import StructuredLogHandler
from pydantic_core import from_json, to_json

from relay.settings.base import LogContent
from relay.tracing import Trace

MAX_LINE_BYTES = 240_000  # Cloud Logging refuses entries over 256 KiB.
MAX_CONTENT_BYTES = 150_000  # Of a body in a line: in base64 these take 200,000.
MAX_UNVERIFIED_CONTENT_BYTES = 8_000  # Anybody can send these: enough for a real event, not for flooding the log.
MAX_ESCAPED_BYTES = 200_000  # Of a body as JSON text, where each quote takes two bytes and a control character six.

# What a line keeps that had to be shortened: of its text, of one field, and of all fields together.
MAX_SHORT_TEXT = 30_000
MAX_SHORT_FIELD = 2_000
MAX_SHORT_FIELDS = 20_000
MAX_DEPTH = 8
# Of what a traceback may quote: a shorter value is nobody's, and more values would take too long to look for.
MIN_MASKED_LENGTH = 4
MAX_MASKED_VALUES = 2_000
MAX_LABEL = 1_100  # Characters: enough for the longest ordering key.

LABELS = "logging.googleapis.com/labels"

_MASK = "***"
# Left readable in a redacted log: ids and states, by which a person on call finds an order. Any other value may be
# about a person. Names that end in _id are ids, too.
_OPEN_FIELDS = frozenset({"id", "date", "topic", "state", "old_state", "new_state", "quantity", "sales_channel"})
# A key that is no plain name may be data: an e-mail address, or what a person typed.
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogContext:
    """What each log line written for one event has in common."""

    trace: Trace
    labels: Mapping[str, str]
    mask: Callable[[str], str] = str
    """Applied to every traceback, and to the reasons in canonical lines: they may quote the event's body."""


_formatter = logging.Formatter()
_context: ContextVar[LogContext | None] = ContextVar("log_context", default=None)


@contextmanager
def logging_as(context: LogContext) -> Iterator[None]:
    """Give each log line written inside the block the labels and the trace of `context`."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


def write(
    logger: logging.Logger,
    severity: int,
    text: str,
    *,
    context: LogContext,
    fields: Mapping[str, Any],
    http_request: Mapping[str, Any],
    fault: Exception | None = None,
) -> None:
    """Write a canonical line with the labels and the trace of `context`, and the traceback of `fault`.

    `severity` is one of logging's levels.
    """
    with logging_as(context):
        extra = {"json_fields": dict(fields), "http_request": dict(http_request)}
        logger.log(severity, "%s", text, extra=extra, exc_info=fault, stacklevel=2)


def configure(*, project: str, service: str, stream: TextIO = sys.stdout) -> None:
    """Send all log lines of this process to `stream`, marked with `service`.

    The lines are text if `stream` is a terminal, else one JSON object each, as Cloud Logging reads them.
    """
    if stream.isatty():
        handler: logging.Handler = logging.StreamHandler(stream)
        handler.setFormatter(_TerminalFormatter())
    else:
        handler = CloudHandler(stream, project=project, service=service)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    gunicorn = logging.getLogger("gunicorn.error")
    gunicorn.handlers.clear()
    gunicorn.propagate = True


def content_fields(body: bytes, mode: LogContent, *, verified: bool) -> dict[str, Any]:
    """Return the log fields that hold a webhook's body, bounded so that Cloud Logging takes the line.

    `content` is the text, or `content_base64` what is not UTF-8; `content_truncated` says that there was more.
    Redacted content keeps field names, ids and states, and masks every other value.
    """
    if mode is LogContent.OFF:
        return {}
    limit = MAX_CONTENT_BYTES if verified else MAX_UNVERIFIED_CONTENT_BYTES
    if mode is LogContent.REDACTED:
        return {"content": _redacted(body, limit)}
    shown, truncated = body[:limit], {"content_truncated": True} if len(body) > limit else {}
    try:
        text = shown.decode()
        if len(to_json(text)) <= MAX_ESCAPED_BYTES:
            return {"content": text, **truncated}
    except UnicodeDecodeError:
        pass
    return {"content_base64": base64.b64encode(shown).decode(), **truncated}


def _redacted(body: bytes, limit: int) -> Any:
    if len(body) > limit:
        return f"{len(body)} bytes"
    try:
        redacted = _masked(from_json(body, allow_inf_nan=False), name="")
    except ValueError:
        return f"{len(body)} bytes that are not JSON"
    # A mask is longer than a digit: a body of many small values grows.
    return redacted if len(to_json(redacted)) <= MAX_ESCAPED_BYTES else f"{len(body)} bytes"


def _masked(value: Any, *, name: str) -> Any:
    if isinstance(value, dict):
        return {key if _FIELD_NAME.fullmatch(key) else _MASK: _masked(item, name=key) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, name=name) for item in value]
    is_open = name in _OPEN_FIELDS or name.endswith("_id")
    # Shops use e-mail addresses as ids of their customers.
    return value if is_open and "@" not in str(value) else _MASK


def masking(body: bytes, mode: LogContent) -> Callable[[str], str]:
    """Return what masks in a text each value that it quotes from `body` and that `mode` keeps out of the log."""
    if mode is LogContent.FULL:
        return str

    def mask(text: str) -> str:
        try:
            values = set(_hidden_values(from_json(body), name=""))
        except ValueError:
            return text  # What is no JSON never reaches a handler.
        if len(values) > MAX_MASKED_VALUES:
            return f"{_MASK} (LOG_CONTENT={mode})"
        for value in sorted(values, key=len, reverse=True):
            text = text.replace(value, _MASK)
        return text

    return mask


def _hidden_values(value: Any, *, name: str) -> Iterator[str]:
    """Yield the texts and numbers that a redacted log masks, but for those so short that they are no one's."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _hidden_values(item, name=key)
    elif isinstance(value, list):
        for item in value:
            yield from _hidden_values(item, name=name)
    elif _masked(value, name=name) is _MASK and len(str(value)) >= MIN_MASKED_LENGTH:
        yield str(value)


class _AnyValueEncoder(json.JSONEncoder):
    """Writes any value: the text of one that JSON has no form for. The library's default loses the whole line."""

    def encode(self, o: Any) -> str:
        try:
            return json.dumps(o, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return json.dumps(_plain(o, depth=0), ensure_ascii=False)


def _plain(value: Any, *, depth: int) -> Any:
    """Return `value` made of what JSON knows. A value that holds itself ends at a depth, with its type's name."""
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if depth == MAX_DEPTH:
        return type(value).__name__
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth=depth + 1) for item in value]
    return str(value)


class CloudHandler(StructuredLogHandler):
    """Google's handler for Cloud Logging, with what the relay needs and it lacks.

    - The labels and the trace of the event at work, instead of those of the HTTP request.
    - In a traceback, the values of the event's body masked as LOG_CONTENT asks.
    - The time of the line: Cloud Run adds it when it reads the line, but a line in a file would have none.
    - Any value in a line's fields, and half a surrogate pair, which a JSON body may hold as an escape.
    - A bound on the size of a line, since Cloud Logging refuses a larger one.
    """

    def __init__(self, stream: TextIO, *, project: str, service: str) -> None:
        super().__init__(  # type: ignore[no-untyped-call] # the library has no types
            labels={"service": service}, stream=stream, project_id=project, json_encoder_cls=_AnyValueEncoder
        )

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        """Add the event's labels and trace before the library adds the request's."""
        context = _context.get()
        own_labels: dict[str, Any] = getattr(record, "labels", {})
        labels = {**(context.labels if context else {}), **own_labels}
        # Cloud Logging refuses a line with a label that is no text.
        record.labels = {str(name): str(value)[:MAX_LABEL] for name, value in labels.items()}
        if context is None:
            return super().filter(record)
        record.trace = f"projects/{self.project_id}/traces/{context.trace.trace_id}"
        record.span_id = context.trace.span_id
        record.trace_sampled = context.trace.sampled
        if record.exc_info:
            record.exc_text = context.mask(_formatter.formatException(record.exc_info))
        # An empty context has no Flask request, so that the library does not describe one for each line.
        return Context().run(super().filter, record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line as one JSON object."""
        line = self._line(record)
        return line if len(line.encode()) <= MAX_LINE_BYTES else self._line(_shortened(record))

    def emit_instrumentation_info(self) -> None:
        """Leave out the line about the library's version that it would write twice at each start."""

    def _line(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: str = super().format(record)  # type: ignore[no-untyped-call] # the library has no types
        return f'{{"time": "{time}", {line[1:]}'.encode(errors="replace").decode()


def _shortened(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record with a text that fits into a line, and as many of its short fields as fit beside it."""
    shortened: Any = copy.copy(record)
    shortened.msg, shortened.args = f"{_formatter.format(record)[:MAX_SHORT_TEXT]} [cut]", ()
    shortened.exc_info = shortened.exc_text = shortened.stack_info = None
    shortened.json_fields = _fitting(getattr(record, "json_fields", {}))
    return shortened  # type: ignore[no-any-return] # LogRecord declares no json_fields


def _fitting(fields: Mapping[str, Any]) -> dict[str, Any]:
    kept, size = {}, 0
    for name, value in fields.items():
        field_size = len(str(name)) + len(_AnyValueEncoder().encode(value))
        if field_size <= MAX_SHORT_FIELD and size + field_size <= MAX_SHORT_FIELDS:
            kept[name] = value
            size += field_size
    return kept


class _TerminalFormatter(logging.Formatter):
    """One line of text: time, severity, message, and which event it is about."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)-8s %(message)s%(about)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        context = _context.get()
        event_id = context.labels.get("event_id") if context else None
        record.about = f"  [event {event_id[:12]}]" if event_id else ""
        return super().format(record)
