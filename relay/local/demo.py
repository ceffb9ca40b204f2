"""Invented orders for the local run: they are placed, packed and sent, with a refund, a duplicate and a broken body.

Each step is one webhook; what the worker then asks OneStock for is as the webhook says.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial

from relay.local.simulator import Site

UNREADABLE_EVERY = 10
EVENT_TYPES = (
    "order_state_changed",
    "line_item_group_state_changed",
    "parcel_state_changed",
    "stock_import_error_occurred",
)

Step = Callable[[Site], None]
"""Changes something at OneStock, so that one webhook is sent."""


def steps() -> Iterator[Step]:
    """Yield without end: each order's life, one step after another."""
    for number in itertools.count(1001):
        yield from _life_of(f"ORD-{number}")
        if number % UNREADABLE_EVERY == 1:
            error = {"import_id": f"IMP-{number}", "error": "invented: line 7 has no item"}
            yield partial(_emit, "stock_import_error_occurred", error)
            yield partial(_put, "order_state_changed", b"this body is not JSON")


def _life_of(order_id: str) -> Iterator[Step]:
    yield partial(_place, order_id)
    yield lambda site: site.move_group(order_id, f"{order_id}-G2", "out_of_stock")
    yield partial(_pack, order_id)
    yield _repeat  # OneStock repeats what it did not see acknowledged.
    yield lambda site: site.move_parcel(f"{order_id}-P1", "dispatched")
    yield lambda site: site.move_order(order_id, "fulfilled")


def _place(order_id: str, site: Site) -> None:
    site.place_order(order_id, items={"SKU-1": 2, "SKU-2": 1})
    site.move_order(order_id, "picking")


def _pack(order_id: str, site: Site) -> None:
    site.add_parcel(order_id, f"{order_id}-P1", tracking_code=f"TRACK-{order_id}")
    site.move_order(order_id, "packed")


def _repeat(site: Site) -> None:
    _put("order_state_changed", json.dumps(site.history[-1]).encode(), site)


def _emit(event_type: str, content: dict[str, str], site: Site) -> None:
    site.emit(event_type, content)


def _put(event_type: str, body: bytes, site: Site) -> None:
    for webhook in site.webhooks.values():
        if event_type in webhook.event_types:
            webhook.put(event_type, body)
