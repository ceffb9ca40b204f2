"""Failures are grouped by handler and reason, none is counted twice or left out, and ids do not tear a group apart."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.investigation.entries import Entry
from relay.investigation.failures import Failures, common_reason, failures_of, without_event
from relay.investigation.history import Whereabouts
from relay.investigation.index import EventIndex

START = datetime.now(UTC) - timedelta(minutes=2)
FOLLOW, BILL = "handlers.orders.follow_order", "handlers.billing.bill_order"
OUTCOMES = ("handled", "duplicate", "stale", "unhandled", "quarantined", "retry", "timed_out", "failed", "busy")

Run = tuple[str, str, str]
"""A handler, its outcome and its reason."""


def id_of(number: int) -> str:
    return f"{number:064x}"


def delivery(number: int, *runs: Run, seconds: float = 1, outcome: str = "failed", reason: str = "") -> Entry:
    handlers = [{"name": name, "outcome": end, "reason": why} for name, end, why in runs]
    told = {"line": "delivery", "outcome": outcome, "status": 503, "delivery_attempt": 1, "handlers": handlers}
    labels = {"event_id": id_of(number), "event_type": "order_state_changed", "order_id": f"ORD-{number}"}
    return entry(seconds, labels, **told, **({"reason": reason} if reason else {}))


def entry(seconds: float, labels: dict[str, str], **fields: Any) -> Entry:
    return Entry(time=START + timedelta(seconds=seconds), fields=fields, labels=labels, severity="INFO")


def failures_in(entries: Sequence[Entry], **options: Any) -> Failures:
    index = EventIndex()
    index.add(entries)
    return failures_of(index.summaries(lambda _: True), **options)


def test_failures_of_one_reason_are_one_group_whatever_ids_they_quote() -> None:
    entries = [
        delivery(number, (FOLLOW, "failed", f"KeyError: no SKU-{number}9 in ORD-{number}"), seconds=number)
        for number in range(1, 13)
    ]
    found = failures_in([*entries, delivery(12, (FOLLOW, "handled", ""), seconds=20, outcome="handled")])

    (group,) = found.handlers
    assert (group.handler, group.reason) == (FOLLOW, "KeyError: no SKU-# in #")
    assert group.example == "KeyError: no SKU-129 in ORD-12"
    assert (group.times, group.events, found.deliveries, found.events) == (12, 12, 12, 12)
    assert group.whereabouts == {Whereabouts.BEING_RETRIED: 11, Whereabouts.HANDLED: 1}
    assert group.event_ids == tuple(id_of(number) for number in range(12, 2, -1))
    assert (group.first_at, group.last_at) == (START + timedelta(seconds=1), START + timedelta(seconds=12))


def test_handlers_and_reasons_are_kept_apart_and_the_most_come_first() -> None:
    found = failures_in(
        [
            delivery(1, (FOLLOW, "failed", "no sku"), (BILL, "retry", "the shop answers 503")),
            delivery(2, (FOLLOW, "failed", "no sku"), (BILL, "retry", "the shop answers 404")),
            delivery(2, (FOLLOW, "quarantined", "no sku"), seconds=2, outcome="quarantined"),
        ]
    )

    assert [(group.handler, group.reason, group.times, group.events) for group in found.handlers] == [
        (FOLLOW, "no sku", 3, 2),
        (BILL, "the shop answers 503", 1, 1),
        (BILL, "the shop answers 404", 1, 1),
    ]
    assert found.handlers[0].outcomes == ("failed", "quarantined")
    assert found.handlers[0].whereabouts == {Whereabouts.BEING_RETRIED: 1, Whereabouts.DEAD_LETTER: 1}


def test_a_delivery_that_reached_no_handler_is_grouped_by_its_outcome() -> None:
    (group,) = failures_in([delivery(1, outcome="store_unavailable", reason="no answer")]).handlers

    assert (group.handler, group.outcomes, group.reason) == ("", ("store_unavailable",), "no answer")


def test_webhooks_and_pushes_that_were_refused_are_grouped_by_outcome_and_reason() -> None:
    labels = {"event_type": "order_state_changed"}
    lines = [
        *(entry(n, labels, line="webhook", outcome="refused", status=401, reason=f"{n} s too old") for n in (7, 8)),
        entry(1, labels, line="webhook", outcome="too_large", status=413, reason="8 bytes are too many"),
        entry(1, labels | {"event_id": id_of(1)}, line="webhook", outcome="not_published", status=503, reason="late"),
        entry(2, labels | {"event_id": id_of(1)}, line="webhook", outcome="published", status=202),
        entry(3, {}, line="delivery", outcome="unauthenticated", status=401, reason="no token"),
    ]

    found = failures_in(lines)

    assert [(group.outcomes, group.reason, group.times, group.events) for group in found.webhooks] == [
        (("refused",), "# s too old", 2, 0),
        (("not_published",), "late", 1, 1),
        (("too_large",), "# bytes are too many", 1, 0),
    ]
    assert found.webhooks[1].whereabouts == {Whereabouts.WAITING: 1}
    assert [(group.outcomes, group.reason) for group in found.pushes] == [(("unauthenticated",), "no token")]
    assert (found.deliveries, found.events) == (0, 0)
    assert failures_of(without_event(lines)).pushes == found.pushes


RUN = st.tuples(
    st.sampled_from([FOLLOW, BILL]),
    st.sampled_from(OUTCOMES),
    st.sampled_from(["", "no sku", "order 17 is gone", "timeout"]),
)
DELIVERY = st.builds(
    lambda number, runs, seconds, outcome: delivery(number, *runs, seconds=seconds, outcome=outcome),
    number=st.integers(0, 5),
    runs=st.lists(RUN, max_size=3),
    seconds=st.integers(0, 100),
    outcome=st.sampled_from(OUTCOMES),
)


@given(st.lists(DELIVERY, max_size=30, unique_by=lambda one: (one.event_id, one.time)))
def test_the_groups_together_are_the_deliveries_that_failed(entries: list[Entry]) -> None:
    succeeded = {"handled", "duplicate", "stale", "unhandled"}
    failed = [one for one in entries if one.fields["outcome"] not in succeeded]
    failed_runs = [[run for run in one.fields["handlers"] if run["outcome"] not in succeeded] for one in failed]

    found = failures_in(entries, max_event_ids=100)

    assert found.deliveries == len(failed)
    assert found.events == len({one.event_id for one in failed})
    assert sum(group.times for group in found.handlers) == sum(max(1, len(runs)) for runs in failed_runs)
    assert {event_id for group in found.handlers for event_id in group.event_ids} == {one.event_id for one in failed}
    for group in found.handlers:
        assert sum(group.whereabouts.values()) == group.events == len(group.event_ids)


@pytest.mark.parametrize(
    ("reason", "common"),
    [
        ("OneStock, GET orders: 404 (Request-Id 3f2a77b0-11aa-4c1e-9d2a-0123456789ab)", None),
        ("still running after its budget of 2.5 s", "still running after its budget of # s"),
        ("KeyError: 'price'", "KeyError: 'price'"),
        ("no parcel ORD-1001-P1 since 2026-01-31T09:30:00Z", "no parcel ORD-#-P# since #"),
        ("the shop answered 503", "the shop answered 503"),
        ("01J9Z3NDEKTSV4RRFFQ69G5FAV is unknown", "# is unknown"),
    ],
)
def test_ids_and_numbers_do_not_tell_reasons_apart_but_a_status_does(reason: str, common: str | None) -> None:
    assert common_reason(reason) == (common or "OneStock, GET orders: 404 (Request-Id #)")


@given(st.text(), st.from_regex(r"[A-Z]{2,4}-[0-9a-z]{2,8}", fullmatch=True))
def test_a_common_reason_stays_as_it_is_and_quotes_no_order(reason: str, order_id: str) -> None:
    common = common_reason(reason, order_id)

    assert common_reason(common) == common
    assert order_id not in common_reason(f"{reason} {order_id} is gone", order_id)
