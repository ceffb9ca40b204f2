"""The way of an event, from log lines as the services print them and as Cloud Logging returns them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.investigation.entries import read_entries
from relay.investigation.history import Whereabouts, histories

EVENT = "ab" * 32
REJECTED = {"name": "refund", "outcome": "duplicate", "reason": "already rejected as event cd"}
LABELS = {"event_id": EVENT, "event_type": "order_state_changed", "order_id": "H-1"}


def webhook(outcome: str = "published", second: int = 1, **more: Any) -> dict[str, Any]:
    return {"line": "webhook", "outcome": outcome, "status": 202, "message_id": "m1", "second": second, **more}


def delivery(outcome: str, second: int = 2, **more: Any) -> dict[str, Any]:
    return {"line": "delivery", "outcome": outcome, "status": 204, "message_id": "m1", "second": second, **more}


def printed(*fields: dict[str, Any], labels: dict[str, str] = LABELS) -> str:
    """Return the lines as a service prints them."""
    lines = []
    for number, line in enumerate(fields):
        time = datetime(2026, 1, 1, 0, 0, line.get("second", number), tzinfo=UTC).isoformat()
        lines.append(json.dumps({**line, "time": time, "severity": "INFO", "logging.googleapis.com/labels": labels}))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("lines", "whereabouts"),
    [
        ([webhook("not_published")], Whereabouts.NOT_STORED),
        ([webhook()], Whereabouts.WAITING),
        ([webhook(), delivery("retry")], Whereabouts.BEING_RETRIED),
        ([webhook(), delivery("timed_out"), delivery("handled", 3)], Whereabouts.HANDLED),
        ([webhook(), delivery("handled"), delivery("duplicate", 3)], Whereabouts.HANDLED),
        ([webhook(), delivery("handled"), webhook("published", 3)], Whereabouts.HANDLED),
        ([webhook(), delivery("duplicate")], Whereabouts.HANDLED_BEFORE),
        ([delivery("duplicate", synthetic=True)], Whereabouts.HANDLED_BEFORE),
        ([delivery("retry", synthetic=True), delivery("handled", 3, synthetic=True)], Whereabouts.HANDLED),
        ([webhook(), delivery("retry"), delivery("duplicate", 3)], Whereabouts.HANDLED_BEFORE),
        ([webhook(), delivery("unhandled")], Whereabouts.UNHANDLED),
        ([webhook(), delivery("quarantined")], Whereabouts.DEAD_LETTER),
        ([webhook(), delivery("quarantined"), delivery("handled", 3, generation=9)], Whereabouts.HANDLED),
        ([webhook(), delivery("quarantined"), delivery("retry", 3, generation=9)], Whereabouts.BEING_RETRIED),
        ([webhook(), delivery("handled"), delivery("stale", 3, generation=9)], Whereabouts.HANDLED),
        ([webhook(), delivery("handled"), delivery("duplicate", 3, generation=9)], Whereabouts.HANDLED),
        ([webhook(), delivery("quarantined"), delivery("duplicate", 3, generation=9)], Whereabouts.HANDLED_BEFORE),
        ([delivery("retry", generation=9), delivery("handled", 3)], Whereabouts.HANDLED),
        ([webhook(), delivery("retry", delivery_attempt=99)], Whereabouts.BEING_RETRIED),
        ([webhook(), delivery("retry", delivery_attempt=100)], Whereabouts.DEAD_LETTER),
        ([webhook(), delivery("duplicate", handlers=[REJECTED])], Whereabouts.DEAD_LETTER),
        ([webhook(), delivery("quarantined"), delivery("duplicate", 3, handlers=[REJECTED])], Whereabouts.DEAD_LETTER),
    ],
)
def test_it_is_told_where_the_event_is(lines: list[dict[str, Any]], whereabouts: Whereabouts) -> None:
    history = histories(read_entries(printed(*lines)), event_id=EVENT)[0]

    assert history.whereabouts is whereabouts


def test_the_steps_are_in_the_order_of_time_whatever_the_order_of_the_lines() -> None:
    runs = [{"name": "refund", "outcome": "retry", "reason": "closed"}]
    text = printed(delivery("retry", 2, delivery_attempt=1, handlers=runs), webhook(latency_ms=3.5))

    steps = histories(read_entries(text), event_id=EVENT[:6])[0].steps

    assert [(step.name, step.text) for step in steps] == [
        ("received", "published as message m1; answered 202 in 3.5 ms"),
        ("delivered", "message m1, attempt 1: retry, answered 204; refund retry (closed)"),
    ]


def test_a_synthetic_event_is_told_from_what_onestock_sent() -> None:
    runs = [{"name": "refund", "outcome": "duplicate", "reason": f"already handled as event {'cd' * 32}"}]

    steps = histories(read_entries(printed(delivery("duplicate", synthetic=True, handlers=runs))), event_id=EVENT)[
        0
    ].steps

    assert [(step.name, step.text) for step in steps] == [
        ("caught up", f"message m1: duplicate, answered 204; refund duplicate (already handled as event {'cd' * 32})")
    ]


def test_an_order_has_all_its_events() -> None:
    other = {**LABELS, "event_id": "cd" * 32}
    stranger = {**LABELS, "event_id": "ef" * 32, "order_id": "H-2"}
    text = "\n".join([printed(webhook()), printed(webhook(), labels=other), printed(webhook(), labels=stranger)])

    assert [history.event_id for history in histories(read_entries(text), order_id="H-1")] == [EVENT, "cd" * 32]


def test_entries_as_gcloud_prints_them_are_read_too() -> None:
    entry = {"jsonPayload": webhook(), "labels": LABELS, "timestamp": "2026-01-01T00:00:01.123456789Z"}

    history = histories(read_entries(json.dumps([entry], indent=2)), event_id=EVENT)[0]

    assert (history.whereabouts, history.order_id) == (Whereabouts.WAITING, "H-1")


@pytest.mark.parametrize(
    "text", ["", "no JSON", "{", "[1, 2", "[" * 100_000, '{"time": 5}', '{"labels": 7}', "[{}, 3]"]
)
def test_what_is_no_entry_is_passed_over(text: str) -> None:
    assert list(read_entries(text)) == []
