"""Events that tell of one change: what a synthetic one runs, and what several that OneStock sent run."""

import json
from dataclasses import replace

import pytest

from relay import Retry
from relay.events import Delivery
from relay.stores.memory import MemoryStore
from relay.stores.records import CLOCKS_DIFFER_SECONDS
from relay.worker.dispatch import Dispatcher
from relay.worker.outcome import Outcome
from tests.worker.conftest import DELIVERY, LIMITS, Business, Shelf


def told(state: str, date: int, *, event_id: str, is_synthetic: bool = False, **more: object) -> Delivery:
    body = json.dumps({"order_id": "A-1", "new_state": state, "date": date, **more}).encode()
    return replace(DELIVERY, event_id=event_id, body=body, is_synthetic=is_synthetic)


@pytest.mark.parametrize("synthetic_first", [False, True])
def test_a_synthetic_event_does_not_double_one_that_arrived(
    dispatcher: Dispatcher, business: Business, *, synthetic_first: bool
) -> None:
    sent = told("removed", 20, event_id="sent")
    made = told("removed", 21, event_id="made", is_synthetic=True)

    outcomes = [dispatcher.dispatch(delivery) for delivery in ((made, sent) if synthetic_first else (sent, made))]

    reasons = [run.reason for run in outcomes[1][1]]
    assert [outcome for outcome, _ in outcomes] == [Outcome.HANDLED, Outcome.DUPLICATE]
    assert reasons == [f"already handled as event {'made' if synthetic_first else 'sent'}"] * 2
    assert business.runs == ["first", "second"]


def test_a_synthetic_event_runs_only_the_handler_that_has_not_succeeded(
    dispatcher: Dispatcher, business: Business
) -> None:
    business.problem = Retry("later")
    dispatcher.dispatch(told("removed", 20, event_id="sent"))
    business.problem = None

    outcome = dispatcher.dispatch(told("removed", 20, event_id="made", is_synthetic=True))[0]

    assert outcome is Outcome.HANDLED
    assert business.runs == ["first", "second", "second"]


def test_an_order_that_came_back_to_a_state_is_handled_again(dispatcher: Dispatcher, business: Business) -> None:
    arrived = [told("held", 20, event_id="e1"), told("picking", 30, event_id="e2")]
    lost = told("held", 40, event_id="made", is_synthetic=True)

    outcomes = [dispatcher.dispatch(delivery)[0] for delivery in [*arrived, lost, lost]]

    assert outcomes == [Outcome.HANDLED] * 3 + [Outcome.DUPLICATE]
    assert business.runs == ["first", "second"] * 3


def test_events_of_one_change_that_onestock_sent_with_different_bodies_are_all_handled(
    dispatcher: Dispatcher, business: Business
) -> None:
    events = [told("held", 20, event_id=f"e{part}", part=part) for part in range(3)]

    outcomes = [dispatcher.dispatch(delivery)[0] for delivery in events * 2]

    assert outcomes == [Outcome.HANDLED] * 3 + [Outcome.DUPLICATE] * 3
    assert business.runs == ["first", "second"] * 3


def test_a_handled_event_is_a_duplicate_long_after_another_of_its_change_failed_for_good(
    business: Business, shelf: Shelf
) -> None:
    now = [0.0]
    store = MemoryStore(dateless_window_seconds=3_600, clock=lambda: now[0])
    limits = replace(LIMITS, retention_seconds=86_400)
    dispatcher = Dispatcher(business.registry(), store, shelf, limits=limits, ack_deadline_seconds=10)
    business.problem = Retry("later")
    failed = dispatcher.dispatch(told("held", 20, event_id="e1"))[0]
    business.problem = None
    other = told("held", 20, event_id="e2", part=2)
    handled = dispatcher.dispatch(other)[0]
    now[0] = limits.lease_seconds + CLOCKS_DIFFER_SECONDS + 1

    redelivered = dispatcher.dispatch(other)[0]

    assert (failed, handled, redelivered) == (Outcome.RETRY, Outcome.HANDLED, Outcome.DUPLICATE)
    assert business.runs == ["first", "second"] * 2
