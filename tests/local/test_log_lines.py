"""Nothing that happens is invisible in the terminal, and every line fits."""

import io
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from relay import logs
from relay.local.display import Shown, lines_of
from relay.local.log_lines import LogReader
from relay.tracing import Trace

LABELS = {"event_id": "ab" * 32, "event_type": "order_state_changed", "order_id": "ORD-1"}
AT = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def reader() -> LogReader:
    return LogReader(max_delivery_attempts=10)


def logged(
    text: str, fields: dict[str, Any] | None = None, *, logger: str = "shop", severity: int = logging.INFO
) -> str:
    """Return the line that the relay's own handler writes."""
    sink = io.StringIO()
    record = logging.LogRecord(logger, severity, __file__, 1, text, None, None)
    record.json_fields = fields or {}
    with logs.logging_as(logs.LogContext(trace=Trace.continued(None), labels=LABELS)):
        logs.CloudHandler(sink, project="test", service="worker").handle(record)
    return sink.getvalue().rstrip("\n")


def delivery(outcome: str, *runs: dict[str, Any], status: int = 204, attempt: int = 1) -> str:
    fields = {"outcome": outcome, "status": status, "delivery_attempt": attempt, "latency_ms": 12.3, "handlers": runs}
    return logged("Delivery", {"line": "delivery", **fields, **LABELS}, logger="relay.worker.app")


def test_a_line_pairs_each_handler_with_its_outcome(reader: LogReader) -> None:
    failed = {"name": "handlers.orders.bill", "outcome": "failed", "reason": "KeyError: 'x'"}
    handled = {"name": "handlers.orders.follow", "outcome": "handled"}

    [shown] = reader.shown(delivery("failed", failed, handled, status=503, attempt=2))

    assert shown.step == "failed"
    assert shown.text == (
        "order_state_changed ORD-1 abababababab 12 ms, attempt 2 of 10: "
        "orders.bill failed (KeyError: 'x'), orders.follow ok"
    )
    assert not shown.is_routine


def test_what_a_handler_prints_and_logs_is_shown(reader: LogReader) -> None:
    assert reader.shown("printed by a handler") == [Shown("print", "printed by a handler")]
    assert reader.shown(logged("logged by a handler")) == [Shown("log", "logged by a handler", is_routine=True)]
    assert reader.shown(logged("mind this", severity=logging.WARNING)) == [Shown("warning", "mind this")]


def test_the_machinerys_own_lines_are_not(reader: LogReader) -> None:
    assert reader.shown("[2026-01-01 00:00:00 +0000] [1] [INFO] Starting gunicorn") == []
    assert reader.shown(logged("Worker exiting", logger="gunicorn.error")) == []


def test_a_traceback_is_shown_once_also_where_its_error_names_another_order(reader: LogReader) -> None:
    texts = [f"It failed\nTraceback (most recent call last):\n  File x\nKeyError: 'ORD-{number}'" for number in (1, 2)]

    shown = [reader.shown(logged(text, severity=logging.ERROR)) for text in (texts[0], texts[0], texts[1])]

    assert [len(one) for one in shown] == [1, 0, 0]


def test_a_refused_webhook_is_shown_with_its_reason(reader: LogReader) -> None:
    fields = {"line": "webhook", "outcome": "refused", "status": 401, "reason": "no hash key fits"}
    line = logged("Webhook", {**fields, **LABELS})

    [shown] = reader.shown(line)

    assert shown == Shown("refused", "order_state_changed: 401 in 0 ms: no hash key fits")


def test_an_unhandled_event_type_says_what_to_write_once(reader: LogReader) -> None:
    first, second = reader.shown(delivery("unhandled")) + reader.shown(delivery("unhandled"))

    assert '@on("order_state_changed")' in first.text
    assert second.text == "order_state_changed ORD-1 abababababab: no handler"


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_terminal(width: int) -> None:
    text = f'{"long " * 60}\n  File "{"x" * 300}"\n{json.dumps(LABELS)}'

    lines = lines_of(Shown("error", text), at=AT, width=width)

    assert max(len(line) for line in lines) <= width
    assert lines[0].startswith("12:00:00  error        long long")
    assert all(line.startswith(" " * 23) for line in lines[1:])
    assert "".join("".join(lines).split()).count("x") == 300


def test_a_file_gets_each_line_whole() -> None:
    assert len(lines_of(Shown("log", "x" * 500), at=AT, width=None)) == 1
