"""What happens when a parcel changes its state."""

import logging

from relay import ParcelStateChanged, on

logger = logging.getLogger(__name__)


@on("parcel_state_changed")
def log_parcel_state(event: ParcelStateChanged) -> None:
    """Log which parcel of which order went from which state to which, and when."""
    logger.info(
        "Parcel %s of order %s went from %s to %s at %s",
        event.parcel_id,
        event.order_id,
        event.old_state,
        event.new_state,
        event.occurred_at,
    )
