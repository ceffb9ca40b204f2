"""The ledger: a change is where the best of its events is, and what has none is missing."""

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.events import event_id_of
from relay.investigation.entries import Entry
from relay.investigation.history import Whereabouts
from relay.investigation.ledger import Item, Ledger, Period, Standing, draw_up
from relay.onestock.changes import Change

DAY = datetime(2026, 1, 31, tzinfo=UTC)
NOW = DAY + timedelta(days=1, hours=6)
PERIOD = Period(since=DAY, until=DAY + timedelta(days=1))
NOON = int((DAY + timedelta(hours=12)).timestamp())
REJECTED = {"name": "refund", "outcome": "duplicate", "reason": "already rejected as event cd"}


def change(order_id: str = "L-1", state: str = "packed", *, date: int = NOON, old: str | None = "picking") -> Change:
    return Change(order_id=order_id, new_state=state, date=date, old_state=old)


def body_of(told: Change, **more: Any) -> bytes:
    fields = {"order_id": told.order_id, "date": told.date, "old_state": told.old_state, "new_state": told.new_state}
    return json.dumps({**fields, **more}).encode()


def entry(event_id: str, at: int, event_type: str, order_id: str, **fields: Any) -> Entry:
    labels = {"event_id": event_id, "event_type": event_type, "order_id": order_id}
    return Entry(time=datetime.fromtimestamp(at, UTC), fields=fields, labels=labels, severity="INFO")


def webhook(told: Change, outcome: str = "published", *, seconds_later: int = 1, **more: Any) -> Entry:
    """Return the receiver's line about OneStock's own event of a change."""
    body = body_of(told)
    fields = {"line": "webhook", "outcome": outcome, "content": json.loads(body), **more}
    event_id = event_id_of("order_state_changed", body)
    return entry(event_id, told.date + seconds_later, "order_state_changed", told.order_id, **fields)


def delivery(told: Change, outcome: str, *, seconds_later: int = 2, **more: Any) -> Entry:
    event_id = event_id_of("order_state_changed", body_of(told))
    fields = {"line": "delivery", "outcome": outcome, **more}
    return entry(event_id, told.date + seconds_later, "order_state_changed", told.order_id, **fields)


def synthetic(told: Change, outcome: str, *, seconds_later: int = 900, **more: Any) -> Entry:
    """Return the worker's line about the event that reconcile has made of a change."""
    event_id = told.to_message(now=NOW, traceparent="").event_id
    fields = {"line": "delivery", "outcome": outcome, "synthetic": True, **more}
    return entry(event_id, told.date + seconds_later, "order_state_changed", told.order_id, **fields)


def drawn_up(entries: Iterable[Entry], *changes: Change, now: datetime = NOW) -> Ledger:
    return draw_up(entries, PERIOD, changes=changes, tolerance_seconds=2, now=now)


def only(ledger: Ledger) -> Item:
    (item,) = ledger.changes
    return item


A = change()


@pytest.mark.parametrize(
    ("entries", "standing"),
    [
        ([], Standing.MISSING),
        ([webhook(A)], Standing.UNDER_WAY),
        ([webhook(A), delivery(A, "retry")], Standing.UNDER_WAY),
        ([webhook(A), delivery(A, "handled")], Standing.HANDLED),
        ([webhook(A), delivery(A, "stale")], Standing.HANDLED),
        ([webhook(A), delivery(A, "unhandled")], Standing.UNHANDLED),
        ([webhook(A), delivery(A, "quarantined")], Standing.DEAD_LETTER),
        ([webhook(A), delivery(A, "quarantined"), delivery(A, "handled", generation=7)], Standing.HANDLED),
        ([webhook(A, "not_published"), webhook(A, "refused")], Standing.MISSING),
        ([webhook(A, "not_published"), webhook(A, seconds_later=30)], Standing.UNDER_WAY),
        ([webhook(A, "not_published"), delivery(A, "handled")], Standing.HANDLED),
        ([webhook(A), webhook(A), delivery(A, "handled"), delivery(A, "duplicate")], Standing.HANDLED),
        ([synthetic(A, "handled")], Standing.HANDLED),
        ([synthetic(A, "retry")], Standing.UNDER_WAY),
        ([webhook(A), delivery(A, "handled"), synthetic(A, "duplicate")], Standing.HANDLED),
        ([webhook(A), delivery(A, "handled"), synthetic(A, "quarantined")], Standing.HANDLED),
        ([webhook(A), delivery(A, "quarantined"), synthetic(A, "handled")], Standing.HANDLED),
        ([webhook(A), delivery(A, "quarantined"), synthetic(A, "retry")], Standing.UNDER_WAY),
        (
            [webhook(A), delivery(A, "quarantined"), synthetic(A, "duplicate", handlers=[REJECTED])],
            Standing.DEAD_LETTER,
        ),
        ([webhook(A, "not_published"), synthetic(A, "handled")], Standing.HANDLED),
    ],
)
def test_a_change_stands_where_the_best_of_its_events_is(entries: list[Entry], standing: Standing) -> None:
    ledger = drawn_up(entries, A)

    assert only(ledger).standing is standing
    assert ledger.others == ()
    assert ledger.missing_changes == ([A] if standing is Standing.MISSING else [])


@pytest.mark.parametrize(
    ("entries", "is_acknowledged"),
    [
        ([webhook(A)], True),
        ([webhook(A, "not_published"), webhook(A, seconds_later=30)], True),
        ([webhook(A, "not_published"), delivery(A, "handled")], False),
        ([synthetic(A, "handled")], False),
    ],
)
def test_a_change_has_arrived_if_a_webhook_of_it_was_acknowledged(
    entries: list[Entry], *, is_acknowledged: bool
) -> None:
    assert only(drawn_up(entries, A)).is_acknowledged is is_acknowledged


def test_the_sequence_of_the_lines_does_not_matter() -> None:
    redriven = delivery(A, "retry", seconds_later=3, generation=9)
    entries = [webhook(A), delivery(A, "quarantined"), redriven]

    assert only(drawn_up(reversed(entries), A)).whereabouts is Whereabouts.NOT_RETRIED


def test_what_nobody_has_acknowledged_for_seven_days_is_missing() -> None:
    entries = [webhook(A), delivery(A, "retry")]
    a_week_later = datetime.fromtimestamp(NOON + 2, UTC) + timedelta(days=7)

    still_there = drawn_up(entries, A, now=a_week_later)
    dropped = drawn_up(entries, A, now=a_week_later + timedelta(seconds=1))

    assert (only(still_there).standing, only(dropped).standing) == (Standing.UNDER_WAY, Standing.MISSING)


@pytest.mark.parametrize(
    ("seconds", "standing"), [(-3, Standing.MISSING), (-2, Standing.HANDLED), (2, Standing.HANDLED)]
)
def test_the_date_of_an_event_may_be_a_little_off(seconds: int, standing: Standing) -> None:
    sent = change(date=NOON + seconds)

    assert only(drawn_up([webhook(sent), delivery(sent, "handled")], A)).standing is standing


def test_each_of_two_near_changes_needs_an_event_of_its_own() -> None:
    again = change(date=NOON + 1)

    ledger = drawn_up([webhook(again), delivery(again, "handled")], A, again)

    assert [item.standing for item in ledger.changes] == [Standing.MISSING, Standing.HANDLED]


def test_an_event_near_two_changes_tells_one_of_them_only() -> None:
    sent = change(date=NOON + 2)

    ledger = drawn_up([webhook(sent)], A, change(date=NOON + 1))

    assert [item.standing for item in ledger.changes] == [Standing.UNDER_WAY, Standing.MISSING]


def test_a_change_that_the_history_tells_twice_counts_once() -> None:
    assert len(drawn_up([], A, change(old=None)).changes) == 1


@pytest.mark.parametrize("old_state", ["picking", None])
def test_a_synthetic_event_is_known_whatever_its_old_state_was(old_state: str | None) -> None:
    made = change(old=old_state)

    assert only(drawn_up([synthetic(made, "handled")], A)).standing is Standing.HANDLED


@pytest.mark.parametrize(
    "fields",
    [
        {"content": json.loads(body_of(A, customer="***"))},
        {"content": body_of(A).decode()},
        {"content": None, "content_base64": base64.b64encode(body_of(A)).decode()},
    ],
    ids=["redacted", "text", "base64"],
)
def test_a_change_is_read_from_the_content_however_the_line_holds_it(fields: dict[str, Any]) -> None:
    ledger = drawn_up([webhook(A, **fields)], A)

    assert only(ledger).standing is Standing.UNDER_WAY
    assert ledger.contentless == 0


@pytest.mark.parametrize("content", [None, "1200 bytes", "[1]", "{"])
def test_lines_without_their_content_are_counted(content: str | None) -> None:
    ledger = drawn_up([webhook(A, content=content)], A)

    assert (only(ledger).standing, ledger.contentless, len(ledger.others)) == (Standing.MISSING, 1, 1)


def test_events_of_other_types_are_counted_beside_and_named_if_they_were_not_stored() -> None:
    arrived = [
        entry(f"{number}" * 64, NOON, "parcel_state_changed", "L-9", line="webhook", outcome=outcome, content={})
        for number, outcome in enumerate(["published", "not_published"])
    ]
    long_before = entry("9" * 64, NOON - 86_400, "parcel_state_changed", "L-9", line="webhook", outcome="not_published")

    ledger = drawn_up([*arrived, long_before], A)

    assert [item.standing for item in ledger.others] == [Standing.UNDER_WAY, Standing.MISSING]
    assert [str(item) for item in ledger.with_standing(Standing.MISSING)] == [
        "order L-1 to packed at 2026-01-31T12:00:00Z: never arrived",
        f"parcel_state_changed {'1' * 12}: {Whereabouts.NOT_STORED}",
    ]
    assert ledger.missing_changes == [A]


def test_the_end_of_a_day_belongs_to_the_next() -> None:
    first, last = change(date=NOON - 43_200), change(date=NOON + 43_199)
    next_day = change(date=NOON + 43_200)

    ledger = drawn_up([webhook(told) for told in (first, last, next_day)])

    assert [item.change for item in ledger.others] == [first, last]


def test_an_event_that_tells_a_change_of_another_day_belongs_to_that_day() -> None:
    before = change(date=int(DAY.timestamp()) - 60)

    assert drawn_up([webhook(before, seconds_later=600)]).others == ()


def test_without_onestock_the_receivers_lines_say_what_there_is() -> None:
    lost, caught_up, before = change("L-2"), change("L-3"), change("L-4", date=NOON - 86_400)
    entries = [webhook(A), delivery(A, "handled"), webhook(lost, "not_published"), webhook(before)]
    entries += [webhook(caught_up, "not_published"), synthetic(caught_up, "handled")]

    ledger = draw_up(entries, PERIOD, changes=None, tolerance_seconds=2, now=NOW)

    assert {item.order_id: item.standing for item in ledger.changes} == {
        "L-1": Standing.HANDLED,
        "L-2": Standing.MISSING,
        "L-3": Standing.HANDLED,
    }
    assert ledger.missing_changes == [lost]
