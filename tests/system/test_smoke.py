"""A deployment's smoke event goes from the topic through worker and store, and reaches no handler of the customer's."""

import base64
from typing import Any

import pytest
import requests

from tests.support.parts import OneStock, PubSub, Service
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until

# The worker runs handlers for one event type and for every event type.
pytestmark = pytest.mark.usefixtures("shop_settings")


def publish(pubsub: PubSub, data: bytes, **attributes: str) -> None:
    """Publish as `gcloud pubsub topics publish` does."""
    message = {"data": base64.b64encode(data).decode(), "attributes": attributes}
    url = f"http://{pubsub.emulator.host}/v1/{pubsub.topology.topic_path}:publish"
    requests.post(url, json={"messages": [message]}, timeout=5).raise_for_status()


def lines_of(worker: Service) -> list[dict[str, Any]]:
    return [line for line in worker.canonical("delivery") if line["event_type"] == "relay_smoke"]


def test_a_smoke_event_is_handled_and_reaches_no_handler_of_the_customers(
    pubsub: PubSub, worker: Service, ledger: Ledger
) -> None:
    for _ in range(2):
        publish(pubsub, b'{"build": "b-1"}', event_type="relay_smoke", smoke="true")

    wait_until(lambda: len(lines_of(worker)) == 2)
    lines = lines_of(worker)
    assert {line["outcome"] for line in lines} == {"handled", "duplicate"}
    assert [[handler["name"] for handler in line["handlers"]] for line in lines] == [["relay.smoke"]] * 2
    assert ledger.done() == set()


def test_a_signed_webhook_of_that_event_type_is_an_ordinary_event(
    onestock: OneStock, worker: Service, ledger: Ledger
) -> None:
    onestock.send(b'{"order_id": "S-1", "smoke": "true"}', "relay_smoke")

    wait_until(lambda: len(lines_of(worker)) == 1)
    assert [handler["name"] for handler in lines_of(worker)[0]["handlers"]] == ["archive"]
    assert {handler for handler, _ in ledger.done()} == {"archive"}
