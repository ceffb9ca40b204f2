"""Through both services, by settings alone: the customer's system has each refund and shipment once, and the events."""

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from relay.local.customer import CustomerSystem, Reply
from relay.local.emulator import Emulator
from tests.support.parts import OneStock, PubSub, Service, order_event
from tests.support.serving import serving
from tests.support.waiting import wait_until

SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()
ORDER = {
    "id": "ORD-1",
    "state": "fulfilled",
    "line_item_groups": [
        {"id": "G1", "state": "removed", "order_item_id": "I1", "quantity": 2, "index_ranges": [{"from": 0, "to": 1}]},
        {"id": "G2", "state": "fulfilled", "order_item_id": "I1", "quantity": 1, "parcel_id": "P1"},
    ],
    "parcels": [{"id": "P1", "order_id": "ORD-1", "shipment": {"tracking_code": "T-1"}}],
}


@dataclass
class Api:
    """OneStock's API: it answers with `orders` in turn, and with the last of them from then on."""

    orders: list[dict[str, Any]]
    url: str = ""

    def answer(self, path: str, _: bytes) -> dict[str, Any]:
        if path == "/v2/login":
            return {"token": "a-test-token"}
        answer = self.orders.pop(0) if len(self.orders) > 1 else self.orders[0]
        return {**answer, "id": path.rpartition("/")[2]}


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api([ORDER])
    with serving(api.answer) as api.url:
        yield api


@pytest.fixture
def customer() -> CustomerSystem:
    return CustomerSystem(SECRET)


@pytest.fixture
def settings(settings: dict[str, str], customer: CustomerSystem, api: Api) -> Iterator[dict[str, str]]:
    with customer.running() as url:
        yield settings | {
            "ONESTOCK_API_URL": api.url,
            "ONESTOCK_SITE_ID": "test-site",
            "ONESTOCK_USER_ID": "test-user",
            "ONESTOCK_PASSWORD": "a-test-password",
            "REFUND_URL": f"{url}/refunds",
            "SHIPMENT_URL": f"{url}/shipments",
            "FORWARD_URLS": f"parcel_state_changed={url}/parcels",
            "DESTINATION_SECRETS": SECRET,
        }


def test_each_refund_and_shipment_is_handed_over_once(
    onestock: OneStock, worker: Service, customer: CustomerSystem
) -> None:
    for step in (0, 0, 1, 2):
        onestock.send(order_event("ORD-1", step))
    onestock.send(b'{"parcel_id": "P1", "order_id": "ORD-1"}', "parcel_state_changed")

    wait_until(lambda: len(worker.handled()) == 4)
    effects = [(got.kind, got.data.get("piece")) for got in customer.taken if got.kind != "parcel_state_changed"]
    assert effects == [("refund", 0), ("refund", 1), ("shipment", None)]
    assert customer.taken_of("parcel_state_changed") == [{"parcel_id": "P1", "order_id": "ORD-1"}]
    assert (len(customer.requests), customer.refused) == (4, 0)
    assert SECRET[6:] not in worker.child.output.read_text()


def test_what_the_customer_refuses_is_a_dead_letter_and_what_fails_comes_back(
    onestock: OneStock, worker: Service, customer: CustomerSystem, pubsub: PubSub
) -> None:
    shipments = iter([503])
    customer.reply = lambda got: Reply(
        status=422 if got.data.get("piece") == 0 else next(shipments, 204) if got.kind == "shipment" else 204,
        text="no such item",
    )

    onestock.send(order_event("ORD-1"))

    outcomes = wait_until(lambda: _ended(worker))
    [dead] = pubsub.dead_letters()
    assert outcomes == ["retry", "quarantined"]
    assert "422: no such item" in dead["attributes"]["dead_letter_reason"]
    assert [(got.kind, got.data.get("piece")) for got in customer.taken] == [("refund", 1), ("shipment", None)]


def _ended(worker: Service) -> list[str]:
    outcomes = [line["outcome"] for line in worker.canonical("delivery")]
    return outcomes if "quarantined" in outcomes else []


@pytest.fixture(params=["memory", "firestore"])
def remembering(settings: dict[str, str], request: pytest.FixtureRequest, firestore_emulator: Emulator) -> Service:
    """Return a worker with one of the stores."""
    settings |= {"IDEMPOTENCY_STORE": request.param, "FIRESTORE_EMULATOR_HOST": firestore_emulator.host}
    worker: Service = request.getfixturevalue("worker")
    return worker


def removed(*spans: tuple[int, int], name: str = "G1") -> dict[str, Any]:
    """Return an order with a group of two removed pieces; `spans` is what OneStock tells of where they are."""
    ranges = [{"from": first, "to": last} for first, last in spans]
    group = {"id": name, "state": "removed", "order_item_id": "I1", "quantity": 2, "index_ranges": ranges}
    return {"line_item_groups": [group], "order_items": [{"id": "I1", "quantity": 2}]}


def test_two_pieces_are_two_refunds_however_onestock_answers_in_between(
    onestock: OneStock, remembering: Service, customer: CustomerSystem, api: Api, pubsub: PubSub
) -> None:
    api.orders = [removed(), removed((0, 0)), removed(name="renamed"), removed((0, 1), name="renamed")]

    onestock.send(order_event(pubsub.topology.topic))
    onestock.send(order_event(pubsub.topology.topic, 1))

    wait_until(lambda: len(remembering.handled()) == 2, within=30)
    assert [data["piece"] for data in customer.taken_of("refund")] == [0, 1]
    assert len(customer.requests) == 2


def test_pieces_that_stay_uncertain_are_a_dead_letter_that_a_person_can_act_on(
    settings: dict[str, str], request: pytest.FixtureRequest, customer: CustomerSystem, api: Api, pubsub: PubSub
) -> None:
    settings["REFUND_WAIT_SECONDS"] = "2"
    api.orders = [removed((0, 0))]
    worker: Service = request.getfixturevalue("worker")
    onestock: OneStock = request.getfixturevalue("onestock")

    onestock.send(order_event(pubsub.topology.topic))

    outcomes = wait_until(lambda: _ended(worker), within=30)
    [dead] = pubsub.dead_letters()
    reason = dead["attributes"]["dead_letter_reason"]
    assert outcomes[0] == "retry"
    assert "Look at the order in OneStock" in reason
    assert reason.endswith("its index_ranges (0 to 0) name 1 pieces and its quantity is 2")
    assert customer.requests == []
