"""What an order asks the customer's system to do: refund, ship. No I/O: an order and the rules in, effects out."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from relay.onestock.models import LineItemGroup, Order, Parcel

REFUND = "refund"
SHIPMENT = "shipment"
MAX_PIECES = 10_000  # Of one group: a mistake in a range must not fill the memory.


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which states mean what; they are names from the customer's own workflows."""

    refund_states: Collection[str]
    """Of line item groups."""
    shipment_states: Collection[str]
    """Of parcels; empty for every state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One thing to be done once: a piece to refund, or a parcel that is under way."""

    kind: str
    key: str
    """The same for this thing whatever else happens to its order; no two things share one."""
    data: Mapping[str, Any]


def effects_of(order: Order, rules: Rules, *, kinds: Collection[str] = (REFUND, SHIPMENT)) -> list[Effect]:
    """Return all that the order asks for as it is now, new or not; always in the same sequence."""
    effects: list[Effect] = []
    if REFUND in kinds:
        for group in order.groups_in(*rules.refund_states):
            effects += _refunds(order, group)
    if SHIPMENT in kinds:
        parcels = order.parcels_with_tracking
        effects += [
            _shipment(order, parcel)
            for parcel in parcels
            if not rules.shipment_states or parcel.state in rules.shipment_states
        ]
    return effects


def _refunds(order: Order, group: LineItemGroup) -> Iterator[Effect]:
    """Yield one refund for each piece: groups split, merge and get new ids, while a piece stays the same piece."""
    for piece, identity, quantity in _pieces(group):
        data = {
            "order_id": order.id,
            "order_item_id": group.order_item_id,
            "item_id": group.item_id,
            "piece": piece,
            "quantity": quantity,
            "state": group.state,
            "line_item_group": group.model_dump(mode="json", by_alias=True, exclude_unset=True),
        }
        yield Effect(kind=REFUND, key=_key(REFUND, order.id, *identity), data=data)


def _pieces(group: LineItemGroup) -> Iterator[tuple[int | None, tuple[str, ...], float]]:
    """Yield (index, identity, quantity) of each piece in the group.

    A group without usable ranges is counted through under its own id; what is not counted in pieces is one.
    """
    indexes = _indexes(group)
    if indexes is not None:
        item = group.order_item_id or group.item_id or group.id
        yield from ((index, (item, "piece", str(index)), 1) for index in indexes)
        return
    quantity = 1 if group.quantity is None else group.quantity
    if quantity != int(quantity) or quantity > MAX_PIECES:
        yield None, ("group", group.id), quantity
        return
    yield from ((None, ("group", group.id, str(number)), 1) for number in range(int(quantity)))


def _indexes(group: LineItemGroup) -> list[int] | None:
    """Return the indexes of the group's pieces, None if its ranges do not tell them.

    Whether `to` is included is not documented: the quantity decides.
    """
    bounds = [
        (each.first, each.last) for each in group.index_ranges if each.first is not None and each.last is not None
    ]
    if not bounds or len(bounds) < len(group.index_ranges):
        return None
    for beyond in (1, 0):
        count = sum(max(0, last + beyond - first) for first, last in bounds)
        if count <= MAX_PIECES and group.quantity in (None, count):
            return [index for first, last in bounds for index in range(first, last + beyond)]
    return None


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
