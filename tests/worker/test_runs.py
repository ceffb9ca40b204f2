"""What a single run is told and bound to: its claim, the one handler of a redrive, and room for it."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from relay import Event, on
from relay.events import Delivery
from relay.registry import Registry
from relay.stores import ClaimRequest
from relay.stores.memory import MemoryStore
from relay.worker.dispatch import Dispatcher, Limits
from relay.worker.outcome import Outcome
from tests.support.waiting import wait_until

DELIVERY = Delivery(event_id="e1", event_type="x", body=b"{}", received_at=datetime(2025, 1, 1, tzinfo=UTC))
LIMITS = Limits(budget_seconds=0.5, lease_seconds=30, retention_seconds=60, max_overdue_runs=2)


class Nowhere:
    def put(self, delivery: Delivery, *, reason: str, handler: str | None) -> None:
        raise AssertionError(f"nothing is quarantined here: {delivery.event_id}, {reason}, {handler}")


class Shop:
    """Two handlers; the first waits while the gate is closed, and asks for its claim before its effect."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store = MemoryStore(dateless_window_seconds=3_600, clock=lambda: self.now)
        self.effects: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

        @on("x", name="careful")
        def careful(event: Event) -> None:
            self.gate.wait()
            event.check_claim(for_seconds=1)
            self.effects.append("careful")

        @on("x", name="other")
        def other(_: Event) -> None:
            self.effects.append("other")

        registry = Registry.of(careful, other)
        self.dispatcher = Dispatcher(registry, self.store, Nowhere(), limits=LIMITS, ack_deadline_seconds=10)

    def deliver(self, delivery: Delivery = DELIVERY) -> Outcome:
        return self.dispatcher.dispatch(delivery)[0]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_a_run_that_holds_its_claim_does_its_effect(shop: Shop) -> None:
    assert shop.deliver() is Outcome.HANDLED
    assert shop.effects == ["careful", "other"]


def test_a_run_whose_claim_another_delivery_took_over_leaves_its_effect_out(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.gate.clear()
    late = shop.deliver(replace(DELIVERY, only_handler="careful"))
    shop.now += LIMITS.lease_seconds + 1
    shop.store.claim(ClaimRequest(key="e1/careful", lease_seconds=30))

    shop.gate.set()
    wait_until(lambda: "ended before its effect" in caplog.text, within=5)

    assert late is Outcome.TIMED_OUT
    assert shop.effects == []


def test_a_redrive_for_one_handler_runs_this_one_alone(shop: Shop) -> None:
    outcome = shop.deliver(replace(DELIVERY, only_handler="other"))

    assert (outcome, shop.effects) == (Outcome.HANDLED, ["other"])


def test_a_redrive_for_a_handler_that_is_gone_says_so(shop: Shop) -> None:
    outcome, [run] = shop.dispatcher.dispatch(replace(DELIVERY, only_handler="renamed"))

    assert (outcome, outcome.status, shop.effects) == (Outcome.UNHANDLED, 204, [])
    assert "pin the old one with @on(..., name='renamed')" in str(run.reason)


def test_beyond_the_bound_of_hung_runs_deliveries_are_nacked_without_a_run(shop: Shop) -> None:
    shop.gate.clear()
    hung = [shop.deliver(replace(DELIVERY, event_id=f"h{number}", only_handler="careful")) for number in range(2)]
    refused, was_overloaded = shop.deliver(), shop.dispatcher.is_overloaded
    shop.gate.set()
    wait_until(lambda: not shop.dispatcher.is_overloaded, within=5)

    assert (hung, refused, refused.status) == ([Outcome.TIMED_OUT] * 2, Outcome.OVERLOADED, 503)
    assert was_overloaded
    assert shop.deliver() is Outcome.HANDLED
