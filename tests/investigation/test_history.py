"""The way of an event, from log lines as the services print them and as Cloud Logging returns them."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.investigation.balance import balance_of
from relay.investigation.entries import entries_in, read_entries
from relay.investigation.handler_ends import milliseconds_in
from relay.investigation.history import Whereabouts, histories
from relay.investigation.index import EventIndex
from relay.investigation.ledger import Period, draw_up
from relay.investigation.records import EventFilter

EVENT = "ab" * 32
REJECTED = {"name": "refund", "outcome": "duplicate", "reason": "already rejected as event cd"}
REDRIVE = 9
LABELS = {"event_id": EVENT, "event_type": "order_state_changed", "order_id": "H-1"}


def webhook(outcome: str = "published", second: int = 1, **more: Any) -> dict[str, Any]:
    return {"line": "webhook", "outcome": outcome, "status": 202, "message_id": "m1", "second": second, **more}


def delivery(outcome: str, second: int = 2, **more: Any) -> dict[str, Any]:
    return {"line": "delivery", "outcome": outcome, "status": 204, "message_id": "m1", "second": second, **more}


def given_up(second: int = 3, **more: Any) -> dict[str, Any]:
    return {"line": "given_up", "message": "invented", "message_id": "m1", "second": second, **more}


def test_a_redrive_and_another_run_have_names_of_their_own() -> None:
    generations = [(0, 0), (8, 0), (9, 1), (9, 1), (10, 1), (11, 2)]
    lines = [delivery("handled", generation=number, redrives=redrives) for number, redrives in generations]

    [history] = histories(read_entries(printed(*lines)), event_id=EVENT)

    assert [step.name for step in history.steps] == [
        "delivered",
        "run again",
        "redriven",
        "redriven",
        "run again",
        "redriven",
    ]


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
        ([webhook(), delivery("retry", delivery_attempt=2), given_up()], Whereabouts.DEAD_LETTER),
        ([webhook(), delivery("retry"), given_up(), delivery("handled", 4, generation=9)], Whereabouts.HANDLED),
        ([webhook(), delivery("retry", generation=9), given_up(generation=9)], Whereabouts.DEAD_LETTER),
        ([webhook(), delivery("duplicate", handlers=[REJECTED])], Whereabouts.DEAD_LETTER),
        ([webhook(), delivery("quarantined"), delivery("duplicate", 3, handlers=[REJECTED])], Whereabouts.DEAD_LETTER),
    ],
)
def test_it_is_told_where_the_event_is(lines: list[dict[str, Any]], whereabouts: Whereabouts) -> None:
    history = histories(read_entries(printed(*lines)), event_id=EVENT)[0]

    assert history.whereabouts is whereabouts


def ended(outcome: str, second: int, *runs: str, **more: Any) -> dict[str, Any]:
    """Return a delivery with such runs: `refund handled`, `ship duplicate already rejected`."""
    parts = [run.split(" ", 2) for run in runs]
    handlers = [{"name": name, "outcome": end, "reason": "".join(reason)} for name, end, *reason in parts]
    return delivery(outcome, second, handlers=handlers, **more)


BOTH_REJECTED = [webhook(), ended("quarantined", 2, "refund quarantined", "ship quarantined")]
ONE_REJECTED_ONE_FAILED = [webhook(), ended("failed", 2, "refund quarantined", "ship failed")]
UNREAD = [webhook(), ended("quarantined", 2, "(content) quarantined")]


@pytest.mark.parametrize(
    ("lines", "whereabouts"),
    [
        ([*BOTH_REJECTED, ended("handled", 3, "ship handled", generation=REDRIVE)], Whereabouts.DEAD_LETTER),
        (
            [*ONE_REJECTED_ONE_FAILED, ended("handled", 3, "refund duplicate already rejected", "ship handled")],
            Whereabouts.DEAD_LETTER,
        ),
        (
            [*ONE_REJECTED_ONE_FAILED, ended("store_unavailable", 3, "refund store_unavailable", "ship handled"),
             ended("duplicate", 4, "refund duplicate already rejected", "ship duplicate already handled")],
            Whereabouts.DEAD_LETTER,
        ),
        (
            [*BOTH_REJECTED, ended("duplicate", 3, "ship duplicate already handled", generation=REDRIVE)],
            Whereabouts.DEAD_LETTER,
        ),
        ([*BOTH_REJECTED, ended("unhandled", 3, "ship unhandled", generation=REDRIVE)], Whereabouts.DEAD_LETTER),
        ([*BOTH_REJECTED, ended("retry", 3, "ship retry", generation=REDRIVE)], Whereabouts.BEING_RETRIED),
    ],
)  # fmt: skip
def test_an_event_is_a_dead_letter_while_one_handlers_rejection_waits(
    lines: list[dict[str, Any]], whereabouts: Whereabouts
) -> None:
    assert places_of(lines) == {whereabouts}


@pytest.mark.parametrize(
    ("lines", "whereabouts"),
    [
        ([ended("handled", 4, "refund handled", generation=REDRIVE)], Whereabouts.HANDLED),
        ([ended("duplicate", 4, "refund duplicate already handled", generation=10)], Whereabouts.HANDLED),
        ([ended("stale", 4, "refund stale", generation=10)], Whereabouts.HANDLED),
        ([ended("quarantined", 4, "refund quarantined", generation=REDRIVE)], Whereabouts.DEAD_LETTER),
        ([ended("retry", 4, "refund retry", generation=REDRIVE)], Whereabouts.BEING_RETRIED),
        ([ended("retry", 4, "refund retry", generation=REDRIVE), given_up(5, generation=REDRIVE)],
         Whereabouts.DEAD_LETTER),
        ([ended("retry", 4, "refund retry", generation=REDRIVE), ended("handled", 5, "refund handled", generation=9)],
         Whereabouts.HANDLED),
    ],
)  # fmt: skip
def test_after_both_dead_letters_were_redriven_the_second_one_decides(
    lines: list[dict[str, Any]], whereabouts: Whereabouts
) -> None:
    first = ended("handled", 3, "ship handled", generation=REDRIVE)

    assert places_of([*BOTH_REJECTED, first, *lines]) == {whereabouts}


def test_a_late_answer_about_a_handler_that_has_succeeded_changes_nothing() -> None:
    late = [ended("busy", second, "refund busy") for second in (3, 4, 5)]

    assert places_of([webhook(), ended("handled", 2, "refund handled"), *late]) == {Whereabouts.HANDLED}


def test_an_event_that_a_redrive_made_readable_is_no_dead_letter() -> None:
    read = ended("handled", 3, "refund handled", generation=REDRIVE)

    assert places_of(UNREAD) == {Whereabouts.DEAD_LETTER}
    assert places_of([*UNREAD, read]) == {Whereabouts.HANDLED}


def places_of(lines: list[dict[str, Any]]) -> set[Whereabouts]:
    """Return where the event is as `relay trace`, the index, the ledger and the balance say."""
    entries = list(read_entries(printed(*lines)))
    now = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    index = EventIndex(now=lambda: now)
    index.add(entries)
    history, record = histories(entries, order_id="H-1", now=now)[0], index.records(EventFilter())[0]
    ledger = draw_up(entries, Period(since=now - timedelta(hours=1), until=now), changes=None,
                     tolerance_seconds=0, now=now)  # fmt: skip
    balance = balance_of(entries, since=now - timedelta(hours=1), until=now, read_until=now)
    counted = {Whereabouts(part.name) for part in balance.published_events.parts if part.count}
    return {history.whereabouts, record.whereabouts, *(item.whereabouts for item in ledger.others), *counted}


@pytest.mark.parametrize(
    ("line", "minutes_later", "whereabouts", "caveat"),
    [
        (delivery("retry", delivery_attempt=7), 5, Whereabouts.BEING_RETRIED, "unless the pushes are paused"),
        (delivery("retry"), 5, Whereabouts.BEING_RETRIED, "no attempt number"),
        (delivery("retry", delivery_attempt=7), 30, Whereabouts.NOT_RETRIED, "relay dead-letters list"),
        (delivery("retry"), 8 * 24 * 60, Whereabouts.DROPPED, "worker's lines"),
        (delivery("retry", delivery_attempt=100), 30, Whereabouts.DEAD_LETTER, ""),
        (webhook(), 8 * 24 * 60, Whereabouts.DROPPED, "worker's lines"),
    ],
)
def test_an_event_is_not_called_retried_when_no_attempt_comes_any_more(
    line: dict[str, Any], minutes_later: int, whereabouts: Whereabouts, caveat: str
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes_later)

    history = histories(read_entries(printed(line)), event_id=EVENT, now=now)[0]

    assert history.whereabouts is whereabouts
    assert caveat in history.caveat
    assert bool(caveat) == bool(history.caveat)


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


def test_an_event_is_named_by_the_beginning_of_its_id() -> None:
    ids = [EVENT, f"f{EVENT[1:]}", f"cd{EVENT[2:]}"]
    text = "\n".join(printed(webhook(), labels={**LABELS, "event_id": event_id}) for event_id in ids)

    assert [history.event_id for history in histories(read_entries(text), event_id=EVENT[:6])] == [EVENT]


def test_entries_as_gcloud_prints_them_are_read_too() -> None:
    entry = {"jsonPayload": webhook(), "labels": LABELS, "timestamp": "2026-01-01T00:00:01.123456789Z"}

    history = histories(read_entries(json.dumps([entry], indent=2)), event_id=EVENT)[0]

    assert (history.whereabouts, history.order_id) == (Whereabouts.WAITING, "H-1")


def test_a_line_ends_at_a_line_feed_and_at_no_other_character() -> None:
    line = json.dumps(
        {**webhook(), "message": "one\u2028two\x85three", "time": "2026-01-01T00:00:01Z"}, ensure_ascii=False
    )

    assert len(list(read_entries(f"{line}\r\n{line}"))) == 2
    assert len(list(entries_in(io.StringIO(f"\n{line}\n{line}")))) == 2
    assert len(list(entries_in(io.StringIO(f" [{line},\n{line}]\n")))) == 2


@pytest.mark.parametrize(
    "text", ["", "no JSON", "{", "[1, 2", "[" * 100_000, '{"time": 5}', '{"labels": 7}', "[{}, 3]"]
)
def test_what_is_no_entry_is_passed_over(text: str) -> None:
    assert list(read_entries(text)) == list(entries_in(io.StringIO(text))) == []


@pytest.mark.parametrize(
    "value",
    [None, "text", -1.5, float("nan"), float("inf"), 10**400, -(10**400), 1e300, [], [3], {"name": 1}],
    ids=lambda value: str(value)[:6],
)
def test_a_handlers_own_line_may_have_any_fields(value: Any) -> None:
    names = ("line", "handlers", "generation", "delivery_attempt", "status", "latency_ms", "reason", "content")
    strange = {"message": "of the shop", **dict.fromkeys(names, value)}
    entries = list(read_entries(printed(webhook(), strange, delivery("handled", **dict.fromkeys(names[1:], value)))))
    index = EventIndex()
    index.add(entries)

    [history] = histories(entries, order_id="H-1")
    [record] = index.records(EventFilter(order_id="H-1"))

    assert (history.whereabouts, record.whereabouts) == (Whereabouts.HANDLED, Whereabouts.HANDLED)


@pytest.mark.parametrize(
    "value", ["1e300", f"1{400 * '0'}", f"-1{400 * '0'}", "NaN", "Infinity"], ids=lambda one: one[:9]
)
def test_a_number_beyond_all_measure_counts_as_none(value: str) -> None:
    line = f'{{"line": "delivery", "time": "2026-01-01T00:00:01Z", "status": {value}, "latency_ms": {value}}}'

    [entry] = read_entries(line)

    assert (entry.number("status"), milliseconds_in(entry.fields)) == (0, 0)


def test_labels_that_are_no_text_name_no_event() -> None:
    labels: dict[str, Any] = {**LABELS, "event_id": 5}

    [entry] = read_entries(printed(webhook(), labels=labels))

    assert (entry.event_id, entry.labels["order_id"]) == ("", "H-1")
