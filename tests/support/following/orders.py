import logging

from relay import LineItemGroupStateChanged, OrderStateChanged, ParcelStateChanged, on
from relay.destinations import HandOver

logger = logging.getLogger(__name__)


@on("order_state_changed")
def follow_order(event: OrderStateChanged, hand_over: HandOver) -> None:
    logger.info("Order %s went from %s to %s", event.order_id, event.old_state, event.new_state)
    hand_over.effects(event, order_id=event.order_id)


@on("line_item_group_state_changed")
def follow_line_item_group(event: LineItemGroupStateChanged, hand_over: HandOver) -> None:
    hand_over.effects(event, order_id=event.order_id)


@on("parcel_state_changed")
def follow_parcel(event: ParcelStateChanged, hand_over: HandOver) -> None:
    hand_over.effects(event, order_id=event.order_id, parcel_id=event.parcel_id)
