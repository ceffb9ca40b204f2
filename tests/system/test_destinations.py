"""Through both services, by settings alone: the customer's system has each refund and shipment once, and the events."""

import base64
import os
from collections.abc import Iterator

import pytest

from relay.local.customer import CustomerSystem, Reply
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


@pytest.fixture
def onestock_api() -> Iterator[str]:
    answers = {"/v2/login": {"token": "a-test-token"}, "/v2/orders/ORD-1": ORDER}
    with serving(lambda path, _: answers[path]) as url:
        yield url


@pytest.fixture
def customer() -> CustomerSystem:
    return CustomerSystem(SECRET)


@pytest.fixture
def settings(settings: dict[str, str], customer: CustomerSystem, onestock_api: str) -> Iterator[dict[str, str]]:
    with customer.running() as url:
        yield settings | {
            "ONESTOCK_API_URL": onestock_api,
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

    wait_until(lambda: len(worker.handled()) == 4, within=20)
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

    outcomes = wait_until(lambda: _ended(worker), within=20)
    [dead] = pubsub.dead_letters()
    assert outcomes == ["retry", "quarantined"]
    assert "422: no such item" in dead["attributes"]["dead_letter_reason"]
    assert [(got.kind, got.data.get("piece")) for got in customer.taken] == [("refund", 1), ("shipment", None)]


def _ended(worker: Service) -> list[str]:
    outcomes = [line["outcome"] for line in worker.canonical("delivery")]
    return outcomes if "quarantined" in outcomes else []
