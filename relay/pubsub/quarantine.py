"""Quarantine: the copy of an event on the dead-letter topic, with the reason."""

from collections.abc import Callable
from datetime import datetime

from relay.events import Delivery
from relay.message import MAX_ATTRIBUTE_BYTES, Message, compressed_if_needed
from relay.pubsub.publisher import Publisher

QUARANTINE_BUDGET_SECONDS = 10
ATTRIBUTE_PREFIX = "dead_letter"  # Every attribute that is added here starts so; a redrive takes them off again.


class Quarantine:
    """Copies events to the dead-letter topic. `publisher` publishes there, `now` gives the moment in UTC."""

    def __init__(self, publisher: Publisher, *, now: Callable[[], datetime]) -> None:
        self._publisher = publisher
        self._now = now

    def put(self, delivery: Delivery, *, reason: str, handler: str | None) -> None:
        """Copy the event as OneStock sent it; return once Pub/Sub has confirmed.

        `handler` is the one that rejected it, None if no handler could read it. Raises PublishError.
        """
        original = dict(delivery.attributes)
        if delivery.damage is None:
            original.pop("content_encoding", None)
        data, encoding = compressed_if_needed(delivery.body)
        attributes = {
            **original,
            **encoding,
            "event_id": delivery.event_id,
            "event_type": delivery.event_type,
            "received_at": delivery.received_at.isoformat(timespec="milliseconds"),
            "dead_letter_reason": _cut(reason),
            "dead_lettered_at": self._now().isoformat(timespec="milliseconds"),
        }
        if handler is not None:
            attributes["dead_letter_handler"] = _cut(handler)
        if delivery.delivery_attempt is not None:
            attributes["dead_letter_attempt"] = str(delivery.delivery_attempt)
        message = Message(data=data, attributes=attributes, ordering_key=delivery.ordering_key)
        self._publisher.publish(message, budget_seconds=QUARANTINE_BUDGET_SECONDS)


def _cut(text: str) -> str:
    """Cut `text` to what an attribute holds, without splitting a character."""
    return text.encode(errors="replace")[:MAX_ATTRIBUTE_BYTES].decode(errors="ignore")
