"""What happens when an order, or a group of its items, changes its state."""

import logging

from relay import LineItemGroupStateChanged, OrderStateChanged, on

logger = logging.getLogger(__name__)


@on("order_state_changed")
def log_order_state(event: OrderStateChanged) -> None:
    """Log which order went from which state to which, and when."""
    logger.info(
        "Order %s went from %s to %s at %s", event.order_id, event.old_state, event.new_state, event.occurred_at
    )


@on("line_item_group_state_changed")
def log_line_item_group_state(event: LineItemGroupStateChanged) -> None:
    """Log which group of which order went from which state to which, and when."""
    logger.info(
        "Line item group %s of order %s went from %s to %s at %s",
        event.line_item_group_id,
        event.order_id,
        event.old_state,
        event.new_state,
        event.occurred_at,
    )
