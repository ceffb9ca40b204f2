"""A customer's system, an order at OneStock that can change, and what hands over from one to the other."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from relay.destinations.effects import REFUND, SHIPMENT, Rules
from relay.destinations.hand_over import Destinations, HandOver
from relay.destinations.sender import Destination, Sender
from relay.errors import StoreError
from relay.local.customer import CustomerSystem
from relay.onestock.http import PooledExchange
from relay.onestock.models import Order, Parcel
from relay.stores import Claim, Completion
from relay.stores.memory import MemoryStore
from relay.stores.once import Once

SECRET = "whsec_" + base64.b64encode(b"a secret made for these tests").decode()
WAIT_SECONDS = 900


class Shop:
    """OneStock, with one order that can change."""

    def __init__(self) -> None:
        self.groups: list[dict[str, Any]] = []
        self.parcels: list[dict[str, Any]] = []
        self.fetches = 0
        self.failure: Exception | None = None
        self.now = datetime.now(UTC)

    def remove(self, *pieces: int) -> None:
        self.groups += [
            {
                "id": f"G{piece}",
                "state": "removed",
                "order_item_id": "I",
                "quantity": 1,
                "index_ranges": [{"from": piece, "to": piece}],
            }
            for piece in pieces
        ]

    def dispatch(self, parcel_id: str) -> None:
        self.parcels.append({"id": parcel_id, "order_id": "ORD-1", "shipment": {"tracking_code": f"T-{parcel_id}"}})

    def get_order(self, order_id: str) -> Order:
        self.fetches += 1
        if self.failure is not None:
            raise self.failure
        content = {"id": order_id, "line_item_groups": self.groups, "parcels": self.parcels}
        return Order.model_validate(content)

    def get_parcel(self, parcel_id: str) -> Parcel:
        return Parcel.model_validate(next(parcel for parcel in self.parcels if parcel["id"] == parcel_id))


class FailingStore(MemoryStore):
    """A store that fails as it is told."""

    claim_fails = False
    is_taken_over = False
    completions_to_lose = 0

    def claim(self, *arguments: Any) -> Any:
        if self.claim_fails:
            raise StoreError("invented: out of reach")
        return super().claim(*arguments)

    def holds(self, claim: Claim, *, for_seconds: float) -> bool:
        return not self.is_taken_over and super().holds(claim, for_seconds=for_seconds)

    def complete(self, claim: Claim, completion: Completion, *, retention_seconds: float) -> None:
        if self.completions_to_lose:
            self.completions_to_lose -= 1
            raise StoreError("invented: out of reach")
        super().complete(claim, completion, retention_seconds=retention_seconds)


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def customer() -> CustomerSystem:
    return CustomerSystem(SECRET)


@pytest.fixture
def url(customer: CustomerSystem) -> Iterator[str]:
    with customer.running() as url:
        yield url


@pytest.fixture
def store() -> FailingStore:
    return FailingStore(dateless_window_seconds=3600)


@pytest.fixture
def exchange() -> Iterator[PooledExchange]:
    exchange = PooledExchange()
    yield exchange
    exchange.close()


@pytest.fixture
def sender(exchange: PooledExchange) -> Sender:
    return Sender(exchange, budget_seconds=5)


def to(name: str, url: str) -> Destination:
    return Destination(name=name, url=f"{url}/{name}", secrets=(SecretStr(SECRET),))


def handing_over(
    destinations: Destinations, sender: Sender, store: MemoryStore, shop: Shop, *, lease_seconds: float = 60
) -> HandOver:
    return HandOver(
        destinations,
        sender=sender,
        once=Once(store, retention_seconds=3600),
        lease_seconds=lease_seconds,
        rules=Rules(refund_states=("removed",), shipment_states=()),
        refund_wait_seconds=WAIT_SECONDS,
        orders=shop,
        now=lambda: shop.now,
    )


@pytest.fixture
def destinations(url: str) -> Destinations:
    return Destinations(effects={kind: to(kind, url) for kind in (REFUND, SHIPMENT)}, events={"*": to("events", url)})


@pytest.fixture
def hand_over(destinations: Destinations, sender: Sender, store: FailingStore, shop: Shop) -> HandOver:
    return handing_over(destinations, sender, store, shop)
