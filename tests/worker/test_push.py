"""A push as Pub/Sub sends it, wrapped or not, becomes a delivery; anything else is refused in one line."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from relay.errors import EnvelopeError
from relay.events import Delivery
from relay.message import Attribute
from relay.worker import push

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BODY = b'{"order_id": "D-1"}'


def read(body: bytes, **headers: str) -> Delivery:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return push.read(named, body, max_body_bytes=1_000, now=NOW)


def envelope(message: dict[str, Any], **more: Any) -> bytes:
    wrapped = {"data": base64.b64encode(BODY).decode(), "messageId": "m1", **message}
    return json.dumps({"message": wrapped, "subscription": "projects/p/subscriptions/s", **more}).encode()


def test_a_wrapped_push_is_read_whole() -> None:
    attributes = {"event_type": "x", "event_id": "e1", "only_handler": "refund"}
    body = envelope(
        {"attributes": attributes, "publishTime": "2026-01-01T10:00:00Z", "orderingKey": "D-2"}, deliveryAttempt=4
    )

    delivery = read(body)

    assert (delivery.event_id, delivery.event_type, delivery.only_handler) == ("e1", "x", "refund")
    assert (delivery.body, delivery.message_id, delivery.delivery_attempt) == (BODY, "m1", 4)
    assert (delivery.ordering_key, delivery.received_at) == ("D-2", datetime(2026, 1, 1, 10, tzinfo=UTC))


def test_the_emulators_push_without_attempt_and_key_is_read() -> None:
    delivery = read(envelope({"message_id": "m1", "publish_time": "2026-01-01T10:00:00"}))

    assert (delivery.ordering_key, delivery.delivery_attempt) == ("D-1", None)
    assert delivery.received_at == datetime(2026, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "body: Invalid JSON"),
        (b"{}", "message: Field required"),
        (b'{"message": {"data": "", "messageId": "m1"}}', "subscription: Field required"),
        (envelope({"data": "no base64!"}), "message.data"),
        (envelope({"messageId": ""}), "message.messageId"),
        (envelope({}, deliveryAttempt=0), "deliveryAttempt"),
    ],
)
def test_what_is_no_push_is_refused_with_the_place_and_without_the_content(body: bytes, problem: str) -> None:
    with pytest.raises(EnvelopeError, match=problem) as caught:
        read(body)

    assert "no base64!" not in str(caught.value)


def test_every_attribute_of_an_unwrapped_push_is_read_from_its_header() -> None:
    sent = {name.value: f"value of {name}" for name in Attribute}
    headers = {**sent, "x_goog_pubsub_message_id": "m1", "x_goog_pubsub_publish_time": "2026-01-01T10:00:00Z"}

    delivery = read(BODY, **headers)

    assert delivery.attributes == sent
    assert (delivery.body, delivery.message_id) == (BODY, "m1")
    assert delivery.received_at == datetime(2026, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("header", ["x_goog_pubsub_ordering_key", "x_goog_ordering_key"])
def test_the_ordering_key_of_an_unwrapped_push_has_two_names(header: str) -> None:
    delivery = read(BODY, x_goog_pubsub_message_id="m1", event_id="e1", **{header: "D-9"})

    assert delivery.ordering_key == "D-9"


def test_an_unwrapped_push_without_its_metadata_is_refused_with_the_remedy() -> None:
    with pytest.raises(EnvelopeError, match="--clear-push-no-wrapper-config"):
        read(BODY, x_goog_pubsub_message_id="m1")
