"""Fixtures for the tests of handlers, which tests/handlers/conftest.py imports. No service imports this module."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from relay.events import UNKNOWN_EVENT_TYPE, Delivery, Event, event_id_of
from relay.local.simulator import Simulator, Site
from relay.onestock import OneStock
from relay.settings.onestock import OneStockSettings

E = TypeVar("E", bound=Event)
DATE = 1_767_225_600  # 2026-01-01 00:00:00 UTC.


@dataclass(frozen=True, slots=True)
class MakeEvent:
    """Makes events as the worker reads them from a webhook."""

    def __call__(self, model: type[E], *, event_type: str | None = None, delivery_attempt: int = 1, **fields: Any) -> E:
        """Return an event whose body holds `fields`, and a `date` unless they name one.

        `event_type` is needed where the model describes none, or several. Raises UnreadableContent, as in the worker,
        for fields that do not fit the model.
        """
        content = {"date": DATE, **fields}
        body = json.dumps(content).encode()
        name = event_type or min(model.event_types, default=UNKNOWN_EVENT_TYPE)
        delivery = Delivery(
            event_id=event_id_of(name, body),
            event_type=name,
            body=body,
            received_at=datetime.fromtimestamp(content["date"], UTC),
            delivery_attempt=delivery_attempt,
            ordering_key=str(fields.get("order_id", "")),
        )
        return model.of(delivery, content)


@pytest.fixture
def make_event() -> MakeEvent:
    """Give what makes events: `make_event(OrderStateChanged, order_id="ORD-1", old_state="a", new_state="b")`."""
    return MakeEvent()


@dataclass(frozen=True, slots=True)
class SimulatedOneStock:
    """A OneStock on loopback, and the client that a handler gets."""

    site: Site
    """Place orders here: `site.place_order("ORD-1", items={"SKU-1": 2})`."""
    client: OneStock
    fail: Callable[..., None]
    """Let the next calls fail: `fail(503, times=2)`."""


@pytest.fixture
def simulated_onestock() -> Iterator[SimulatedOneStock]:
    """Give a OneStock without orders, for handlers that ask it."""
    with Simulator.start() as simulator:
        client = OneStock.connected(OneStockSettings.from_environ(simulator.environ))
        yield SimulatedOneStock(site=simulator.site, client=client, fail=simulator.fail)
        client.close()
