"""Invented dead letters, as a command has pulled them."""

from datetime import UTC, datetime, timedelta

from relay.message import Message
from relay.pubsub.dead_letters import DeadLetter
from relay.pubsub.pull import Pulled

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def letter(
    *, message_id: str = "m1", order_id: str = "D-1", age: timedelta = timedelta(hours=2), **attributes: str
) -> DeadLetter:
    """Return a dead letter; `age` is how long it has been one."""
    known = {"event_type": "order_state_changed", "event_id": "abcdef1234567890"}
    message = Message(data=b"{}", attributes=known | attributes, ordering_key=order_id)
    delivery = message.to_delivery(
        message_id=message_id, published_at=NOW - age, delivery_attempt=None, max_body_bytes=1_000
    )
    return DeadLetter(pulled=Pulled(ack_id="a", message=message, delivery=delivery, published_at=NOW - age))
