"""What happens for every event, whatever its type: also those that OneStock adds and nobody knows yet."""

from relay import Event, on
from relay.destinations import HandOver


@on("*")
def follow_event(event: Event, hand_over: HandOver) -> None:
    """Hand the event over if its type has a destination (FORWARD_URLS)."""
    hand_over.event(event)
