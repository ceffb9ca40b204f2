"""Fixtures for the tests of handlers, which tests/handlers/conftest.py imports. No service imports this module."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from relay.errors import CaptureError
from relay.events import UNKNOWN_EVENT_TYPE, Delivery, Event, event_id_of, moment_of
from relay.local.simulator import Simulator, Site
from relay.onestock import OneStock
from relay.settings.onestock import OneStockSettings

E = TypeVar("E", bound=Event)
DATE = 1_767_225_600  # 2026-01-01 00:00:00 UTC.


@dataclass(frozen=True, slots=True)
class MakeEvent:
    """Makes events as the worker reads them from a webhook."""

    fixtures: Path
    """The folder of the events that `make fixtures` has made from received webhooks."""

    def __call__(
        self,
        model: type[E],
        *,
        captured: str | None = None,
        event_type: str | None = None,
        delivery_attempt: int = 1,
        **fields: Any,
    ) -> E:
        """Return an event whose body holds `fields`, and a `date` unless they name one.

        `captured` names a file of `fixtures` without `.json`: its fields are in the body, too, unless `fields` has
        others. `event_type` is needed where there is no such file and the model describes no event type, or several.
        Raises UnreadableContent, as in the worker, for fields that do not fit the model.
        """
        received = _received(self.fixtures, captured) if captured else {"content": {}}
        content = {"date": DATE, **received["content"], **fields}
        body = json.dumps(content).encode()
        name = event_type or received.get("event_type") or min(model.event_types, default=UNKNOWN_EVENT_TYPE)
        delivery = Delivery(
            event_id=event_id_of(name, body),
            event_type=name,
            body=body,
            received_at=moment_of(content["date"]) or datetime.fromtimestamp(DATE, UTC),
            delivery_attempt=delivery_attempt,
            ordering_key=str(content.get("order_id", "")),
        )
        return model.of(delivery, content)


def _received(fixtures: Path, name: str) -> dict[str, Any]:
    file = fixtures / f"{name}.json"
    try:
        received = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        names = ", ".join(sorted(one.stem for one in fixtures.glob("*.json"))) or "none; see: make fixtures"
        raise CaptureError(f"There is no {file}. In this folder: {names}") from error
    except (OSError, ValueError) as error:
        raise CaptureError(f"{file} cannot be read: {error}") from error
    if not isinstance(received, dict) or not isinstance(received.get("content"), dict):
        raise CaptureError(f'{file} is no event; it needs {{"event_type": "...", "content": {{...}}}}')
    return received


@pytest.fixture
def make_event(request: pytest.FixtureRequest) -> MakeEvent:
    """Give what makes events: `make_event(OrderStateChanged, order_id="ORD-1", old_state="a", new_state="b")`.

    Captured events come from the folder `fixtures` beside the test, or beside a folder that the test is in.
    """
    beside = (folder / "fixtures" for folder in request.path.parents)
    return MakeEvent(next((one for one in beside if one.is_dir()), request.path.parent / "fixtures"))


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
