"""Quarantine: the copy of an event on the dead-letter topic, with the reason."""

from collections.abc import Callable
from datetime import datetime

from relay.events import Delivery
from relay.message import Message
from relay.pubsub.publisher import Publisher

QUARANTINE_BUDGET_SECONDS = 10


class Quarantine:
    """Copies events to the dead-letter topic. `publisher` publishes there, `now` gives the moment in UTC."""

    def __init__(self, publisher: Publisher, *, now: Callable[[], datetime]) -> None:
        self._publisher = publisher
        self._now = now

    def put(self, delivery: Delivery, *, reason: str, handler: str | None) -> None:
        """Copy the event as OneStock sent it; return once Pub/Sub has confirmed.

        `handler` is the one that rejected the event, None if no handler could read it.
        Raises PublishError and MessageTooLarge.
        """
        message = Message.for_quarantine(delivery, reason=reason, handler=handler, now=self._now())
        self._publisher.publish(message, budget_seconds=QUARANTINE_BUDGET_SECONDS)
