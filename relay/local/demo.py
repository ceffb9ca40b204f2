"""Invented orders for the local run: they are placed, parcelled and delivered, with a duplicate and a broken body."""

import itertools
import json
import time
from collections.abc import Iterator

UNREADABLE_EVERY = 10
EVENT_TYPES = (
    "order_state_changed",
    "line_item_group_state_changed",
    "parcel_state_changed",
    "stock_import_error_occurred",
)
_ORDER_STATES = ("placed", "picking", "packed", "fulfilled")
_PARCEL_STATES = ("created", "dispatched", "collected")


def messages() -> Iterator[tuple[str, bytes]]:
    """Yield (event type, body) without end: each order's life, one event after another."""
    for number in itertools.count(1001):
        order_id = f"ORD-{number}"
        yield from _life_of(order_id)
        if number % UNREADABLE_EVERY == 1:
            yield "stock_import_error_occurred", _body(import_id=f"IMP-{number}", error="invented: line 7 has no item")
            yield "order_state_changed", b"this body is not JSON"


def _life_of(order_id: str) -> Iterator[tuple[str, bytes]]:
    order = "order_state_changed"
    for old, new in itertools.pairwise(_ORDER_STATES):
        body = _body(order_id=order_id, old_state=old, new_state=new)
        yield order, body
        if new == "packed":
            yield order, body  # OneStock repeats what it did not see acknowledged.
            group = {"id": f"{order_id}-G1", "order_id": order_id, "old_state": "picking", "new_state": "provided"}
            yield "line_item_group_state_changed", _body(**group)
    for old, new in itertools.pairwise(_PARCEL_STATES):
        yield "parcel_state_changed", _body(parcel_id=f"{order_id}-P1", order_id=order_id, old_state=old, new_state=new)


def _body(**fields: str) -> bytes:
    return json.dumps({**fields, "date": int(time.time())}).encode()
