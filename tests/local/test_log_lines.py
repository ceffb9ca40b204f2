"""Nothing that happens is invisible in the terminal, and every line fits."""

import io
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from relay import logs
from relay.local.customer import Received
from relay.local.display import Shown, lines_of
from relay.local.log_lines import LogReader, counted, hand_over_shown
from relay.registry import suggestion_for
from relay.registry.marks import mark_of
from relay.settings.base import LogContent
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


def delivery(outcome: str, *runs: dict[str, Any], status: int = 204, attempt: int = 1, **more: Any) -> str:
    fields = {"outcome": outcome, "status": status, "delivery_attempt": attempt, "latency_ms": 12.3, "handlers": runs}
    return logged("Delivery", {"line": "delivery", **fields, **LABELS, **more}, logger="relay.worker.app")


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


def test_a_later_attempt_names_the_handlers_that_it_ran_and_counts_the_others(reader: LogReader) -> None:
    failed = {"name": "handlers.orders.bill", "outcome": "failed", "reason": "KeyError: 'x'"}
    done = [
        {"name": f"handlers.orders.{name}", "outcome": "duplicate", "reason": "already handled"} for name in ("a", "b")
    ]

    [again], [one], [mended], [redriven] = (
        reader.shown(delivery("failed", failed, *runs, status=503, attempt=attempt))
        for runs, attempt in ((done, 2), (done[:1], 3), ([{**failed, "outcome": "handled"}, *done], 1), (done, 1))
    )

    assert again.text.endswith("orders.bill failed (KeyError: 'x'), 2 others done")
    assert one.text.endswith("orders.bill failed (KeyError: 'x'), 1 other done")
    assert mended.text.count("duplicate (already handled)") == redriven.text.count("duplicate (already handled)") == 2


def test_an_event_that_used_up_its_attempts_is_told_with_what_to_do(reader: LogReader) -> None:
    [shown] = reader.shown(logged("used up", {"line": "given_up", "delivery_attempt": 3}))

    assert shown == Shown(
        "dead letter",
        "order_state_changed ORD-1 abababababab: used up 3 delivery attempts. "
        "Once the handler is mended: relay dead-letters redrive",
    )


def test_one_delivery_is_counted_in_the_singular() -> None:
    assert [counted({"handled": count}) for count in (1, 2)] == ["1 delivery: 1 handled", "2 deliveries: 2 handled"]


@pytest.mark.parametrize("mode", LogContent)
def test_an_acknowledged_webhook_is_shown_whatever_log_content_keeps_of_it(reader: LogReader, mode: LogContent) -> None:
    body = b'{"order_id": "ORD-1", "old_state": "placed", "new_state": "picking", "email": "invented@example.com"}'
    content = logs.content_fields(body, mode, verified=True)
    fields = {"line": "webhook", "outcome": "published", "status": 202, "latency_ms": 12.3, **LABELS, **content}

    [shown] = reader.shown(logged("Webhook", fields))

    change = "" if mode is LogContent.OFF else " placed to picking"
    assert shown == Shown("acknowledged", f"order_state_changed ORD-1 abababababab{change}, 12 ms", is_routine=True)


def test_a_refund_that_is_handed_over_again_is_told_as_done_once() -> None:
    data = {"order_id": "ORD-1", "quantity": 1, "item_id": "SKU-2", "state": "out_of_stock"}
    first = Received(webhook_id="1", kind="refund", data=data, path="/refunds", is_repeated=False)

    texts = [hand_over_shown(one).text.partition("; ")[2] for one in (first, replace(first, is_repeated=True))]

    assert texts == [
        "the customer's system has taken it",
        "the customer's system knew it already (same webhook-id): nothing is done twice",
    ]


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

    assert first.text.endswith("no handler. Put into handlers/:")
    assert first.code == suggestion_for("order_state_changed")
    assert second.text == "order_state_changed ORD-1 abababababab: no handler"


def test_an_event_type_that_only_catch_all_handlers_took_says_what_to_write_once(reader: LogReader) -> None:
    run = {"name": "handlers.every_event.follow_event", "outcome": "handled"}
    line = delivery("handled", run, event_type="order_state_change", only_catch_all=True)

    [first], [second] = reader.shown(line), reader.shown(line)

    assert first.text.endswith(
        "follow_event ok; only @on(\"*\") handlers took it; is 'order_state_changed' meant? "
        "To handle it, put into handlers/:"
    )
    assert (first.code, first.is_routine) == (suggestion_for("order_state_change"), False)
    assert (second.code, second.is_routine) == ("", True)


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_terminal(width: int) -> None:
    text = f'{"long " * 60}\n  File "{"x" * 300}"\n{json.dumps(LABELS)}'

    lines = lines_of(Shown("error", text), at=AT, width=width)

    assert max(len(line) for line in lines) <= width
    assert lines[0].startswith("12:00:00  error        long long")
    assert all(line.startswith(" " * 23) for line in lines[1:])
    assert "".join("".join(lines).split()).count("x") == 300


def test_a_traceback_keeps_its_depth_and_no_marks_without_their_code() -> None:
    code = "    amounts[event.order_id] += compute(event.order_id, {'one': 1, 'two': 2})['three']"
    shown = Shown("error", f"It failed\nTraceback (most recent call last):\n{code}\n    {'^' * 60}\nKeyError: 1")

    lines = lines_of(shown, at=AT, width=80)

    assert [line[23:] for line in lines[2:]] == [
        "    amounts[event.order_id] += compute(event.order_id,",
        "    {'one': 1, 'two': 2})['three']",
        "KeyError: 1",
    ]


def test_a_url_is_never_broken_and_stands_alone_where_it_does_not_fit() -> None:
    url = f"http://127.0.0.1:8070/open?token={'x' * 32}"

    assert lines_of(Shown("console", url), at=AT, width=80) == ["12:00:00  console", url]
    assert lines_of(Shown("ready", f"look at {url} now"), at=AT, width=80)[1] == url
    assert lines_of(Shown("console", url), at=AT, width=120) == [f"12:00:00  console      {url}"]


def test_code_to_paste_can_be_pasted() -> None:
    code = suggestion_for("customer_workflow_step_was_ended")

    lines = lines_of(Shown("unhandled", "no handler", code=code), at=AT, width=80)

    handlers: dict[str, Any] = {}
    exec("\n".join(lines[1:]), handlers)  # noqa: S102 - what the developer does with it
    assert mark_of(handlers["handle_customer_workflow_step_was_ended"])


def test_a_file_gets_each_line_whole() -> None:
    assert len(lines_of(Shown("log", "x" * 500), at=AT, width=None)) == 1
