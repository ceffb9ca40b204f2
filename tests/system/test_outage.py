"""Forty minutes without a receiver: OneStock disables the webhooks, and everything is caught up with, once."""

import base64
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from relay.local.customer import CustomerSystem
from relay.local.services import start_service
from relay.local.simulator import Simulator, Status
from relay.worker.app import WATCHDOG_PATH
from tests.support.parts import HASH_KEY, Service, Tool
from tests.support.waiting import wait_until

OUTAGE_SECONDS = 40 * 60
REAL_SECONDS_IN_A_SIMULATED_ONE = 1 / 240
EVENT_TYPES = ("order_state_changed", "parcel_state_changed")
SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()
STATES = ("accepted", "picking", "held", "picking", "picked", "packed", "ready", "dispatched", "delivered", "fulfilled")


@pytest.fixture
def shop() -> Iterator[Simulator]:
    with Simulator.start(time_scale=REAL_SECONDS_IN_A_SIMULATED_ONE) as running:
        yield running


@pytest.fixture
def customer() -> CustomerSystem:
    return CustomerSystem(SECRET)


@pytest.fixture
def settings(settings: dict[str, str], customer: CustomerSystem, shop: Simulator) -> Iterator[dict[str, str]]:
    with customer.running() as url:
        handed_over = {
            "REFUND_URL": f"{url}/refunds",
            "SHIPMENT_URL": f"{url}/shipments",
            "FORWARD_URLS": f"order_state_changed={url}/events",
            "DESTINATION_SECRETS": SECRET,
        }
        yield {**settings, **shop.environ, **handed_over}


@pytest.fixture
def watched(settings: dict[str, str], receiver: Service) -> None:
    """Let the watchdog of a worker that starts now enable the receiver's webhooks again."""
    url = f"http://127.0.0.1:{receiver.port}/webhooks/onestock"
    settings |= {"ONESTOCK_WEBHOOK_URL": url, "ONESTOCK_REENABLE_WEBHOOKS": "true"}


class Life:
    """An order at OneStock that goes through ten states, with two removed items and a parcel."""

    def __init__(self, shop: Simulator, receiver: Service) -> None:
        self.shop = shop
        url = f"http://127.0.0.1:{receiver.port}/webhooks/onestock"
        self.webhooks = [
            shop.site.create_webhook(event_type, f"{url}/{event_type}", keys=[HASH_KEY]) for event_type in EVENT_TYPES
        ]
        shop.site.place_order("ORD-1", items={"SKU-1": 1, "SKU-2": 1, "SKU-3": 1})

    def before_the_outage(self) -> None:
        self.shop.site.move_order("ORD-1", STATES[0])
        self.shop.site.move_group("ORD-1", "ORD-1-G1", "removed")
        self._go_through(STATES[1:3])
        wait_until(lambda: self.shop.site.is_idle)

    def in_the_outage(self) -> None:
        started = self.shop.site.time.now()
        self._go_through(STATES[3:5])
        self.shop.site.move_group("ORD-1", "ORD-1-G2", "out_of_stock")
        self.shop.site.add_parcel("ORD-1", "P-1", tracking_code="T-1")
        self.shop.site.move_parcel("P-1", "dispatched")
        wait_until(lambda: self.statuses() == {Status.DISABLED})
        self._go_through(STATES[5:9])
        wait_until(lambda: self.shop.site.time.now() > started + OUTAGE_SECONDS)

    def after_the_outage(self) -> None:
        self._go_through(STATES[9:])
        wait_until(lambda: self.shop.site.is_idle)

    def statuses(self) -> set[Status]:
        return {webhook.status for webhook in self.webhooks}

    def _go_through(self, states: tuple[str, ...]) -> None:
        for state in states:
            self.shop.site.move_order("ORD-1", state)
            passed = self.shop.site.time.now() + 10  # Two changes of one second could not be told apart.
            wait_until(lambda passed=passed: self.shop.site.time.now() > passed, every=0.01)  # type: ignore[misc]


@pytest.mark.usefixtures("watched")
def test_after_an_outage_the_customers_system_has_each_refund_and_shipment_once_and_in_order(
    shop: Simulator, receiver: Service, worker: Service, customer: CustomerSystem, tool: Tool, tmp_path: Path
) -> None:
    life = Life(shop, receiver)
    all_well = look(worker)
    life.before_the_outage()
    receiver.child.stop()
    life.in_the_outage()

    with start_service("receiver", port=receiver.port, settings=tool.environ, output=tmp_path / "again.log"):
        found = look(worker)
        advised = re.findall(r"relay (reconcile --since \S+)", " ".join(found))
        life.after_the_outage()
        caught_up = tool.json(*advised[0].split(), "--yes")
        again = tool.json(*advised[0].split(), "--yes")
        ended = 3 + 1 + caught_up["events"] + again["events"]
        wait_until(lambda: settled(worker) >= ended)

    effects = [(got.kind, got.data.get("item_id")) for got in customer.requests if got.kind in ("refund", "shipment")]
    states = Counter(data["new_state"] for data in customer.taken_of("order_state_changed"))
    assert effects == [("refund", "SKU-1"), ("refund", "SKU-2"), ("shipment", None)]
    assert states == Counter(STATES)
    assert (caught_up["events"], again["events"], customer.refused) == (10, 10, 0)
    assert shown_of_order(tool, worker) == {"caught up": 20, "delivered": 4}
    assert all("is enabled" in text for text in all_well)
    assert all("is disabled, and was enabled again" in text for text in found)


def look(worker: Service) -> list[str]:
    """Call the watchdog as Cloud Scheduler does, and return what it says of each webhook."""
    response = requests.post(f"http://127.0.0.1:{worker.port}{WATCHDOG_PATH}", timeout=30)
    said: list[str] = response.json()["webhooks"]
    assert len(said) == len(EVENT_TYPES)
    return said


def settled(worker: Service) -> int:
    return sum(line["status"] == 204 for line in worker.canonical("delivery"))


def shown_of_order(tool: Tool, worker: Service) -> dict[str, int]:
    """Return how often each kind of delivery stands in the trace of the order."""
    histories = tool.json("trace", "--order", "ORD-1", "--lines", str(worker.child.output))
    names = Counter(step["name"] for history in histories for step in history["steps"])
    return {name: names[name] for name in ("caught up", "delivered")}
