"""What happens for every event, whatever its type: also those that OneStock adds and nobody knows yet."""

import logging

from relay import Event, on

logger = logging.getLogger(__name__)


@on("*")
def log_event(event: Event) -> None:
    """Log that an event arrived, and how long it was under way."""
    logger.info("Event %s occurred at %s, received at %s", event.event_type, event.occurred_at, event.received_at)
