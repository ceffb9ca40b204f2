"""What an order asks the customer's system to do: refund, ship. No I/O: an order and the rules in, effects out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from relay.destinations.pieces import OrderPieces, Piece, UncertainPieces
from relay.onestock.models import LineItemGroup, Order, Parcel

REFUND = "refund"
SHIPMENT = "shipment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which states mean what; they are names from the customer's own workflows."""

    refund_states: Collection[str]
    """Of line item groups."""
    shipment_states: Collection[str]
    """Of parcels; empty for every state."""
    is_range_end_included: bool = True
    """Whether an index range {from: 0, to: 1} means two pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One thing to be done once: a piece to refund, or a parcel that is under way."""

    kind: str
    key: str
    """The same for this thing whatever else happens to its order; no two things share one."""
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OrderEffects:
    """What an order asks for as it is now, new or not; always in the same sequence."""

    certain: list[Effect]
    doubts: list[str]
    """What is to be done, too, but OneStock's answer does not say for certain to which piece: one text for a group."""


def effects_of(order: Order, rules: Rules, *, kinds: Collection[str] = (REFUND, SHIPMENT)) -> OrderEffects:
    """Return all that the order asks for as it is now."""
    found = OrderEffects([], [])
    if REFUND in kinds:
        pieces = OrderPieces(order, is_range_end_included=rules.is_range_end_included)
        for group in order.groups_in(*rules.refund_states):
            try:
                found.certain.extend(_refund(order, group, piece) for piece in pieces.of(group))
            except UncertainPieces as error:
                found.doubts.append(f"line item group {group.id} of order {order.id} ({group.state}): {error}")
    if SHIPMENT in kinds:
        found.certain.extend(
            _shipment(order, parcel)
            for parcel in order.parcels_with_tracking
            if not rules.shipment_states or parcel.state in rules.shipment_states
        )
    return found


def _refund(order: Order, group: LineItemGroup, piece: Piece) -> Effect:
    data = {
        "order_id": order.id,
        "order_item_id": group.order_item_id,
        "item_id": group.item_id,
        "piece": piece.index,
        "quantity": piece.quantity,
        "state": group.state,
        "line_item_group": group.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }
    return Effect(kind=REFUND, key=_key(REFUND, order.id, *piece.name), data=data)


def _shipment(order: Order, parcel: Parcel) -> Effect:
    items = [
        {"order_item_id": group.order_item_id, "item_id": group.item_id, "quantity": group.quantity}
        for group in order.line_item_groups
        if group.parcel_id == parcel.id
    ]
    data = {
        "order_id": order.id,
        "parcel_id": parcel.id,
        "state": parcel.state,
        "tracking_code": parcel.shipment.tracking_code,
        "tracking_link": parcel.shipment.tracking_link,
        "transporter": parcel.shipment.transporter,
        "items": items,
        "parcel": parcel.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }
    return Effect(kind=SHIPMENT, key=_key(SHIPMENT, order.id, parcel.id), data=data)


def _key(kind: str, *names: str) -> str:
    return "/".join(["effect", kind, *(quote(name, safe="") for name in names)])
