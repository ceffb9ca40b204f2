"""A log line is what google-cloud-logging would write for Cloud Logging, and never breaks the request it is about."""

import io
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.cloud.logging_v2.handlers import StructuredLogHandler

from relay.tracing import Trace

TRACE = Trace(trace_id="a" * 32, span_id="b" * 16, sampled=True)
LABELS = {"event_id": "e1", "order_id": "ORD-1"}
EXTRA: dict[str, Any] = {
    "json_fields": {"line": "webhook", "status": 202},
    "http_request": {"requestMethod": "POST", "status": 202},
}


class Lines:
    """What was logged so far."""

    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream

    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.stream.getvalue().splitlines()[-1])
        return line


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], logger.level = handlers, level


@pytest.fixture
def lines(root: logging.Logger) -> Lines:
    stream = io.StringIO()
    log.configure(project="p", service="receiver", stream=stream)
    assert root.handlers
    return Lines(stream)


def google_writes(text: str, *arguments: object) -> dict[str, Any]:
    """Return the line that Google's own handler makes of the same record."""
    handler = StructuredLogHandler(project_id="p", labels={"service": "receiver"})
    trace = {"trace": f"projects/p/traces/{TRACE.trace_id}", "span_id": TRACE.span_id, "trace_sampled": TRACE.sampled}
    extra = {**EXTRA, **trace, "labels": LABELS}
    record = logging.getLogger("shop").makeRecord(
        "shop", logging.WARNING, __file__, 1, text, arguments, None, "test", extra
    )
    handler.filter(record)
    line: dict[str, Any] = json.loads(handler.format(record))
    return line


def without_place(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in {"time", "logging.googleapis.com/sourceLocation"}}


def test_a_line_holds_what_googles_own_handler_writes(lines: Lines) -> None:
    with log.logging_as(log.LogContext(trace=TRACE, labels=LABELS)):
        logging.getLogger("shop").warning("order %s is late", "ORD-1", extra=EXTRA)

    written = lines.last()

    assert without_place(written) == without_place(google_writes("order %s is late", "ORD-1"))
    assert written["logging.googleapis.com/sourceLocation"]["file"] == __file__
    assert written["time"].endswith("+00:00")


def test_a_lines_own_labels_win_over_the_events(lines: Lines) -> None:
    with log.logging_as(log.LogContext(trace=TRACE, labels=LABELS)):
        logging.getLogger("shop").info("refunded", extra={"labels": {"order_id": "ORD-2", "refund": "R-1"}})

    written = lines.last()[log.LABELS]

    assert (written["order_id"], written["refund"], written["event_id"]) == ("ORD-2", "R-1", "e1")


def test_an_exception_is_part_of_the_message(lines: Lines) -> None:
    try:
        LABELS["no_such_label"]
    except KeyError:
        logging.getLogger("shop").exception("cannot read")

    written = lines.last()

    assert written["severity"] == "ERROR"
    assert written["message"].startswith("cannot read\nTraceback")
    assert "KeyError: 'no_such_label'" in written["message"]


@pytest.mark.parametrize("value", ["half a pair \ud83d", object(), {1: {2, 3}}, float("nan"), b"\xff"])
def test_no_value_breaks_a_line(lines: Lines, value: object) -> None:
    logging.getLogger("shop").info("value %s", "x", extra={"json_fields": {"value": value}})

    assert lines.last()["message"] == "value x"


def line(message: str, *, labels: dict[str, str] | None = None, **rest: Any) -> log.Line:
    context = log.LogContext(trace=TRACE, labels=labels or {})
    return log.Line(
        logger="shop",
        severity=logging.WARNING,
        message=message,
        context=context,
        **{"fields": {}, "http_request": {}, **rest},
    )


class SlowStream(io.StringIO):
    """Lets other threads go first in the middle of each write."""

    def write(self, text: str) -> int:
        time.sleep(0.001)
        return super().write(text)


def test_threads_write_every_canonical_line_once_and_whole(root: logging.Logger) -> None:
    stream = SlowStream()
    write_line = log.configure(project="p", service="worker", stream=stream)

    def write(number: int) -> None:
        write_line(line("x" * 1_000, fields={"number": number}))
        logging.getLogger("shop").info("beside", extra={"json_fields": {"number": -number}})

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(1, 501)))

    written = [json.loads(line)["number"] for line in stream.getvalue().splitlines()]
    assert sorted(written) == [*range(-500, 0), *range(1, 501)]
    assert root.handlers


def test_a_canonical_line_is_what_logging_would_write(lines: Lines) -> None:
    write_line = log.configure(project="p", service="receiver", stream=lines.stream)
    late = line("late", fields=EXTRA["json_fields"], labels=LABELS, http_request=EXTRA["http_request"])

    log.write_by_logging(late)
    by_logging = lines.last()
    write_line(late)

    assert without_place(lines.last()) == without_place(by_logging)


def test_a_stream_that_is_gone_does_not_fail_the_request(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    write_line = log.configure(project="p", service="receiver", stream=stream)
    stream.close()

    write_line(line("x"))

    assert "I/O operation on closed file" in capsys.readouterr().err
    assert root.handlers
