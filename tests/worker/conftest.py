"""A dispatcher with two handlers that count their runs, and a shelf for what they reject."""

import threading
from datetime import UTC, datetime

import pytest

from relay import Event, OrderStateChanged, on
from relay.errors import PublishError
from relay.events import Delivery
from relay.registry import Registry
from relay.stores.memory import MemoryStore
from relay.worker.dispatch import Dispatcher, Limits

DELIVERY = Delivery(
    event_id="e1",
    event_type="order_state_changed",
    body=b'{"order_id": "A-1", "new_state": "placed"}',
    received_at=datetime(2025, 1, 1, tzinfo=UTC),
)
LIMITS = Limits(budget_seconds=0.5, lease_seconds=30, retention_seconds=60)


class Shelf:
    """Keeps dead letters in a list, or refuses to."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str | None]] = []
        self.is_closed = False

    def put(self, delivery: Delivery, *, reason: str, handler: str | None) -> None:
        if self.is_closed:
            raise PublishError(f"no room for {delivery.event_id}")
        self.kept.append((reason, handler))


class Business:
    """Two handlers that count their runs; `problem` is what the second raises."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.problem: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def registry(self) -> Registry:
        @on("order_state_changed", name="first")
        def first(_: OrderStateChanged) -> None:
            self.runs.append("first")

        @on("order_state_changed", name="second")
        def second(_: Event) -> None:
            self.runs.append("second")
            self.gate.wait()
            if self.problem is not None:
                raise self.problem

        return Registry.of(first, second)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def business() -> Business:
    return Business()


@pytest.fixture
def dispatcher(business: Business, shelf: Shelf) -> Dispatcher:
    return Dispatcher(
        business.registry(), MemoryStore(dateless_window_seconds=3_600), shelf, limits=LIMITS, ack_deadline_seconds=10
    )
