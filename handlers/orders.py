"""What happens when an order, or a group of its items, changes its state."""

import logging

from relay import LineItemGroupStateChanged, OrderStateChanged, on
from relay.destinations import HandOver

logger = logging.getLogger(__name__)


@on("order_state_changed")
def follow_order(event: OrderStateChanged, hand_over: HandOver) -> None:
    """Log which order went from which state to which; hand over what is new to refund and to ship."""
    logger.info("Order %s went from %s to %s", event.order_id, event.old_state, event.new_state)
    hand_over.effects(event, order_id=event.order_id)


@on("line_item_group_state_changed")
def follow_line_item_group(event: LineItemGroupStateChanged, hand_over: HandOver) -> None:
    """Log which group of an order's items went from which state to which; hand over what is new."""
    logger.info("Group %s went from %s to %s", event.line_item_group_id, event.old_state, event.new_state)
    hand_over.effects(event, order_id=event.order_id)
