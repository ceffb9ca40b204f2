"""What happens when a parcel changes its state."""

import logging

from relay import ParcelStateChanged, on
from relay.destinations import HandOver

logger = logging.getLogger(__name__)


@on("parcel_state_changed")
def follow_parcel(event: ParcelStateChanged, hand_over: HandOver) -> None:
    """Log which parcel of which order went from which state to which, and when; hand over what is new."""
    logger.info(
        "Parcel %s of order %s went from %s to %s at %s",
        event.parcel_id,
        event.order_id,
        event.old_state,
        event.new_state,
        event.occurred_at,
    )
    hand_over.effects(event, order_id=event.order_id, parcel_id=event.parcel_id)
