"""What happens for every event, whatever its type: also those that OneStock adds and nobody knows yet."""

import logging

from relay import Event, on
from relay.destinations import HandOver

logger = logging.getLogger(__name__)


@on("*")
def follow_event(event: Event, hand_over: HandOver) -> None:
    """Log that an event arrived, and how long it was under way; hand it over if its type has a destination."""
    logger.info("Event %s occurred at %s, received at %s", event.event_type, event.occurred_at, event.received_at)
    hand_over.event(event)
