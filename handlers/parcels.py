"""What happens when a parcel changes its state."""

import logging

from relay import ParcelStateChanged, on
from relay.destinations import HandOver

logger = logging.getLogger(__name__)


@on("parcel_state_changed")
def follow_parcel(event: ParcelStateChanged, hand_over: HandOver) -> None:
    """Log which parcel went from which state to which; hand over what is new."""
    logger.info("Parcel %s went from %s to %s", event.parcel_id, event.old_state, event.new_state)
    hand_over.effects(event, order_id=event.order_id, parcel_id=event.parcel_id)
