"""Deliveries as Pub/Sub makes them: one POST to the worker for each."""

import base64
import json
import uuid
from datetime import UTC, datetime

import requests

from relay.message import Message
from tests.support.parts import Service

ANSWER_SECONDS = 30


def push(worker: Service, message: Message, **attributes: str) -> int:
    """Push a message, with these attributes changed; return the answer's status."""
    return push_with(worker, message, {}, **attributes)


def push_with(worker: Service, message: Message, headers: dict[str, str], **attributes: str) -> int:
    """Push a message under further headers; return the answer's status."""
    pushed = {
        "data": base64.b64encode(message.data).decode(),
        "attributes": {**message.attributes, **attributes},
        "orderingKey": message.ordering_key,
        "messageId": uuid.uuid4().hex,
    }
    url = f"http://127.0.0.1:{worker.port}/pubsub/push"
    envelope = json.dumps({"message": pushed, "subscription": "s"})
    return requests.post(url, data=envelope, headers=headers, timeout=ANSWER_SECONDS).status_code


def outcome_of(worker: Service, message: Message, **attributes: str) -> str:
    """Push a message; return the outcome that the worker logs."""
    before = len(worker.canonical("delivery"))
    push(worker, message, **attributes)
    return str(worker.canonical("delivery")[before]["outcome"])


def sent_by_onestock(body: bytes, event_type: str = "order_state_changed") -> Message:
    """Return the message that the receiver makes of a webhook."""
    return Message.from_webhook(
        body,
        event_type=event_type,
        content_type="application/json",
        received_at=datetime.now(UTC),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
