"""One delivery: which handlers run, how often, and what Pub/Sub is told."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from relay import OrderStateChanged, Reject, Retry, on
from relay.errors import ConfigurationError, StoreError
from relay.events import Delivery
from relay.registry import Registry
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Stale
from relay.stores.memory import MemoryStore
from relay.worker.dispatch import Dispatcher
from relay.worker.outcome import Outcome
from tests.support.waiting import wait_until
from tests.worker.conftest import DELIVERY, LIMITS, Business, Shelf


def test_each_handler_runs_once_however_often_it_is_delivered(dispatcher: Dispatcher, business: Business) -> None:
    outcomes = [dispatcher.dispatch(DELIVERY)[0] for _ in range(3)]

    assert outcomes == [Outcome.HANDLED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    assert business.runs == ["first", "second"]


@pytest.mark.parametrize(
    ("problem", "outcome"), [(Retry("later"), Outcome.RETRY), (ZeroDivisionError("oops"), Outcome.FAILED)]
)
def test_one_failing_handler_does_not_rerun_the_other(
    dispatcher: Dispatcher, business: Business, problem: Exception, outcome: Outcome
) -> None:
    business.problem = problem
    failed = dispatcher.dispatch(DELIVERY)[0]
    business.problem = None

    then = dispatcher.dispatch(DELIVERY)[0]

    assert (failed, failed.status, then) == (outcome, 503, Outcome.HANDLED)
    assert business.runs == ["first", "second", "second"]


def test_a_rejected_event_is_quarantined_once_with_the_reason(
    dispatcher: Dispatcher, business: Business, shelf: Shelf
) -> None:
    business.problem = Reject("no such order")

    outcomes = [dispatcher.dispatch(DELIVERY)[0] for _ in range(2)]

    assert outcomes == [Outcome.QUARANTINED, Outcome.DUPLICATE]
    assert shelf.kept == [("no such order", "second")]


def test_a_redrive_runs_only_what_was_rejected(dispatcher: Dispatcher, business: Business) -> None:
    business.problem = Reject("no such order")
    dispatcher.dispatch(DELIVERY)
    business.problem = None

    outcome = dispatcher.dispatch(replace(DELIVERY, generation=1))[0]

    assert outcome is Outcome.HANDLED
    assert business.runs == ["first", "second", "second"]


def test_a_replay_runs_everything_again(dispatcher: Dispatcher, business: Business) -> None:
    dispatcher.dispatch(DELIVERY)

    replay = replace(DELIVERY, generation=1, reruns_completed=True)
    outcomes = [dispatcher.dispatch(replay)[0] for _ in range(2)]

    assert outcomes == [Outcome.HANDLED, Outcome.DUPLICATE]
    assert business.runs == ["first", "second"] * 2


def test_content_that_no_handler_can_read_runs_none(dispatcher: Dispatcher, business: Business, shelf: Shelf) -> None:
    outcome = dispatcher.dispatch(replace(DELIVERY, body=b"[]"))[0]

    assert outcome is Outcome.QUARANTINED
    assert business.runs == []
    assert shelf.kept == [("the body is JSON but not an object: list", None)]


def test_fields_that_do_not_fit_the_model_are_quarantined(dispatcher: Dispatcher, shelf: Shelf) -> None:
    outcome = dispatcher.dispatch(replace(DELIVERY, body=b'{"order_id": "A-1"}'))[0]

    assert outcome is Outcome.QUARANTINED
    assert shelf.kept == [("does not fit OrderStateChanged: new_state: Field required", "first")]


def test_a_failed_copy_is_a_nack_and_tried_again(dispatcher: Dispatcher, business: Business, shelf: Shelf) -> None:
    business.problem = Reject("no such order")
    shelf.is_closed = True
    refused = dispatcher.dispatch(DELIVERY)[0]
    shelf.is_closed = False

    then = dispatcher.dispatch(DELIVERY)[0]

    assert (refused, refused.status, then) == (Outcome.QUARANTINE_FAILED, 503, Outcome.QUARANTINED)


def test_a_run_over_its_budget_is_nacked_and_not_started_again(dispatcher: Dispatcher, business: Business) -> None:
    business.gate.clear()

    late = dispatcher.dispatch(DELIVERY)[0]
    meanwhile = dispatcher.dispatch(DELIVERY)[0]
    business.gate.set()
    wait_until(lambda: dispatcher.dispatch(DELIVERY)[0] is Outcome.DUPLICATE, within=5)

    assert (late, meanwhile) == (Outcome.TIMED_OUT, Outcome.BUSY)
    assert business.runs == ["first", "second"]


def test_a_store_that_is_gone_runs_no_handler(business: Business, shelf: Shelf) -> None:
    class Gone(MemoryStore):
        def claim(self, request: ClaimRequest) -> Claim | Busy | Done | Stale:
            raise StoreError(f"no answer for {request.key}")

    dispatcher = Dispatcher(
        business.registry(), Gone(dateless_window_seconds=3_600), shelf, limits=LIMITS, ack_deadline_seconds=10
    )

    outcome = dispatcher.dispatch(DELIVERY)[0]

    assert (outcome, outcome.status) == (Outcome.STORE_UNAVAILABLE, 503)
    assert business.runs == []


def test_a_run_that_ends_after_its_lease_cannot_overwrite_its_successor(business: Business, shelf: Shelf) -> None:
    now = [0.0]
    store = MemoryStore(dateless_window_seconds=3_600, clock=lambda: now[0])
    dispatcher = Dispatcher(business.registry(), store, shelf, limits=LIMITS, ack_deadline_seconds=10)
    business.gate.clear()
    business.problem = Reject("decided too late")
    late = dispatcher.dispatch(DELIVERY)[0]
    now[0] = LIMITS.lease_seconds + 1
    successor = store.claim(ClaimRequest(key="e1/second", lease_seconds=30))
    assert isinstance(successor, Claim)
    store.complete(successor, Completion.HANDLED, retention_seconds=60)

    business.gate.set()
    wait_until(lambda: shelf.kept, within=5)

    assert late is Outcome.TIMED_OUT
    assert store.claim(ClaimRequest(key="e1/second", lease_seconds=30)) == Done(Completion.HANDLED)


def dated(date: int) -> Delivery:
    body = b'{"order_id": "A-1", "new_state": "s", "date": %d}' % date
    return replace(DELIVERY, event_id=f"e-{date}", body=body, ordering_key="A-1")


def test_a_latest_only_handler_skips_older_events_of_the_order(shelf: Shelf) -> None:
    seen: list[str] = []

    @on("order_state_changed", name="latest", latest_only=True)
    def latest(event: OrderStateChanged) -> None:
        seen.append(event.event_id)

    dispatcher = Dispatcher(
        Registry.of(latest), MemoryStore(dateless_window_seconds=3_600), shelf, limits=LIMITS, ack_deadline_seconds=10
    )

    outcomes = [dispatcher.dispatch(dated(date))[0] for date in (20, 10, 30)]
    of_another_order = dispatcher.dispatch(replace(dated(5), ordering_key="A-2"))[0]

    assert outcomes == [Outcome.HANDLED, Outcome.STALE, Outcome.HANDLED]
    assert (of_another_order, seen) == (Outcome.HANDLED, ["e-20", "e-30", "e-5"])


def test_concurrent_events_of_an_order_leave_the_latest_last(shelf: Shelf) -> None:
    seen: list[int] = []

    @on("order_state_changed", latest_only=True)
    def latest(event: OrderStateChanged) -> None:
        seen.append(int(event.content["date"]))

    dispatcher = Dispatcher(
        Registry.of(latest), MemoryStore(dateless_window_seconds=3_600), shelf, limits=LIMITS, ack_deadline_seconds=10
    )

    def deliver(date: int) -> None:
        wait_until(lambda: dispatcher.dispatch(dated(date))[0] is not Outcome.BUSY, within=20)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(deliver, random.Random(7).sample(range(200), 200)))

    assert seen == sorted(seen)
    assert seen[-1] == 199


@pytest.mark.parametrize(("seconds_apart", "outcome"), [(3_500, Outcome.DUPLICATE), (3_700, Outcome.HANDLED)])
def test_equal_events_without_a_date_are_two_if_they_arrive_far_apart(
    dispatcher: Dispatcher, seconds_apart: float, outcome: Outcome
) -> None:
    dispatcher.dispatch(DELIVERY)

    later = replace(DELIVERY, received_at=DELIVERY.received_at + timedelta(seconds=seconds_apart))

    assert dispatcher.dispatch(later)[0] is outcome


def test_an_event_type_without_a_handler_is_acknowledged(dispatcher: Dispatcher) -> None:
    outcome = dispatcher.dispatch(replace(DELIVERY, event_type="something_new"))[0]

    assert (outcome, outcome.status) == (Outcome.UNHANDLED, 204)


def test_budgets_that_reach_the_ack_deadline_are_refused(business: Business, shelf: Shelf) -> None:
    with pytest.raises(ConfigurationError, match=r"HANDLER_BUDGET_SECONDS: 2 handlers .* ACK_DEADLINE_SECONDS"):
        Dispatcher(
            business.registry(),
            MemoryStore(dateless_window_seconds=3_600),
            shelf,
            limits=LIMITS,
            ack_deadline_seconds=1,
        )


def test_a_thousand_races_for_one_event_run_it_once(dispatcher: Dispatcher, business: Business) -> None:
    for number in range(1_000):
        delivery = replace(DELIVERY, event_id=f"race-{number}")
        rival = threading.Thread(target=dispatcher.dispatch, args=[delivery])
        rival.start()
        dispatcher.dispatch(delivery)
        rival.join()

    assert sorted(business.runs) == ["first"] * 1_000 + ["second"] * 1_000
