"""Which pieces of an order item a line item group holds, where OneStock's answer makes that certain. No I/O.

A piece is named by its order item and its index, which stay the same while groups split, merge, grow and get new ids.
An answer may be in the middle of a change: ranges that are missing or lag behind the quantity name the wrong pieces,
and a refund under a second name would be a second refund. So a piece gets a name only if all parts of the answer agree.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from relay.onestock.models import LineItemGroup, Order

MAX_PIECES = 10_000  # Of one group: a mistake in a range must not fill the memory.


class UncertainPieces(Exception):
    """OneStock's answer does not say for certain which pieces the group holds; the text says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece, or a whole order item that is not counted in pieces."""

    name: tuple[str, ...]
    """The same in every answer; no two pieces share one."""
    index: int | None
    quantity: float


class OrderPieces:
    """The pieces of one answer of OneStock about an order."""

    def __init__(self, order: Order, *, is_range_end_included: bool) -> None:
        """`is_range_end_included`: whether an index range {from: 0, to: 1} means two pieces."""
        self._beyond = 1 if is_range_end_included else 0
        self._groups = order.line_item_groups
        self._ordered = {item.id: item.quantity for item in order.order_items}
        self._holders: Counter[tuple[str, int]] = Counter()
        for group in self._groups:
            for first, end in self._spans(group):
                self._holders.update((group.order_item_id or "", index) for index in range(first, end))

    def of(self, group: LineItemGroup) -> Sequence[Piece]:
        """Return the pieces in the group. Raises UncertainPieces."""
        quantity, item = group.quantity, group.order_item_id
        if quantity == 0:
            return []
        if quantity is None or item is None:
            raise UncertainPieces("OneStock gives no quantity" if quantity is None else "OneStock gives no order item")
        if not _is_counted(quantity) or not _is_counted(self._ordered.get(item)):
            return [self._whole(item, quantity)]
        indexes = self._indexes(group, quantity)
        self._check_others(item, indexes)
        return [Piece((item, "piece", str(index)), index, 1) for index in indexes]

    def _whole(self, item: str, quantity: float) -> Piece:
        """Return what is weighed or measured as one piece, if nothing of the order item is elsewhere."""
        if _is_counted(self._ordered.get(item)) or len(self._groups_of(item)) > 1:
            raise UncertainPieces(f"{quantity:g} of order item {item} is not a number of pieces")
        return Piece((item, "whole"), None, quantity)

    def _indexes(self, group: LineItemGroup, quantity: float) -> list[int]:
        if not group.index_ranges:
            raise UncertainPieces("OneStock gives no index_ranges")
        indexes = sorted({index for first, end in self._spans(group) for index in range(first, end)})
        if len(indexes) != quantity:
            shown = ", ".join(f"{span.first} to {span.last}" for span in group.index_ranges)
            raise UncertainPieces(
                f"its index_ranges ({shown}) name {len(indexes)} pieces and its quantity is {quantity:g}"
            )
        return indexes

    def _check_others(self, item: str, indexes: Sequence[int]) -> None:
        """Raise UncertainPieces if another group has one of these pieces, or the groups have more than was ordered."""
        shared = [index for index in indexes if self._holders[item, index] > 1]
        if shared:
            raise UncertainPieces(f"another group holds piece {shared[0]} of order item {item}, too")
        held = sum(each.quantity or 0 for each in self._groups_of(item))
        ordered = self._ordered.get(item)
        if ordered is not None and held > ordered:
            raise UncertainPieces(f"its groups hold {held:g} of order item {item}, of which {ordered:g} were ordered")

    def _spans(self, group: LineItemGroup) -> list[tuple[int, int]]:
        """Return the group's ranges as (first, end), end excluded; none if one of them cannot be right."""
        spans = []
        for each in group.index_ranges:
            if each.first is None or each.last is None:
                return []
            spans.append((each.first, each.last + self._beyond))
        lengths = [end - first for first, end in spans]
        is_plausible = all(first >= 0 for first, _ in spans) and all(length > 0 for length in lengths)
        return spans if is_plausible and sum(lengths) <= MAX_PIECES else []

    def _groups_of(self, item: str) -> list[LineItemGroup]:
        return [group for group in self._groups if group.order_item_id == item]


def _is_counted(quantity: float | None) -> bool:
    """Return whether a quantity is a number of pieces; an order item of which OneStock gives none is taken for one."""
    return quantity is None or quantity == int(quantity)
