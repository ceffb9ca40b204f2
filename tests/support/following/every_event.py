import logging

from relay import Event, on
from relay.destinations import HandOver

logger = logging.getLogger(__name__)


@on("*")
def follow_event(event: Event, hand_over: HandOver) -> None:
    logger.info("Event %s came", event.event_type)
    hand_over.event(event)
