"""What `relay trigger` plays through the simulated OneStock: orders exist there when handlers ask for them."""

import difflib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import requests

from relay.local.emulator import Emulator
from relay.local.simulator import Site, send

OUTAGE_SECONDS = 15
"""Longer than a webhook waits for Pub/Sub, so that OneStock sees a 503."""
BURST = 50
UNKNOWN_EVENT_TYPE = "customer_workflow_ended"


@dataclass(slots=True)
class Stage:
    """Where scenarios are played: the site at OneStock, the receiver's URL for webhooks, and the emulator."""

    site: Site
    webhooks_url: str
    keys: tuple[bytes, ...]
    emulator: Emulator
    is_frozen: bool = False
    """Whether Pub/Sub is out of reach now because a scenario wants it so."""
    latest_order: str | None = None
    """The order that was placed last."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(5001))

    def order(self) -> str:
        """Place an order of two items, and return its id."""
        order_id = f"ORD-{next(self.numbers)}"
        self.site.place_order(order_id, items={"SKU-1": 2, "SKU-2": 1})
        self.latest_order = order_id
        return order_id

    def webhook(self, event_type: str) -> None:
        """Make the webhook of this event type where there is none."""
        if not any(event_type in webhook.event_types for webhook in self.site.webhooks.values()):
            self.site.create_webhook(event_type, f"{self.webhooks_url}/{event_type}", keys=self.keys)

    def put(self, event_type: str, body: bytes) -> None:
        """Let OneStock send this body."""
        for webhook in self.site.webhooks.values():
            if event_type in webhook.event_types:
                webhook.put(event_type, body)


Play = Callable[[Stage], Iterator[str]]
"""Plays one scenario; yields what happened at OneStock, one line each."""


def order_fulfilled(stage: Stage) -> Iterator[str]:
    """Place, pick, pack, send and fulfil an order."""
    order_id = stage.order()
    yield f"order {order_id} is placed"
    for state in ("picking", "packed"):
        stage.site.move_order(order_id, state)
        yield f"order {order_id} is {state}"
    yield from _sent(stage, order_id)
    stage.site.move_order(order_id, "fulfilled")
    yield f"order {order_id} is fulfilled"


def partial_refund(stage: Stage) -> Iterator[str]:
    """Run out of one of two items: it is to be refunded."""
    order_id = stage.order()
    stage.site.move_order(order_id, "picking")
    yield f"order {order_id} is in picking"
    stage.site.move_group(order_id, f"{order_id}-G2", "out_of_stock")
    yield f"group {order_id}-G2 (1 of SKU-2) is out of stock"
    yield from _sent(stage, order_id)
    stage.site.move_order(order_id, "fulfilled")
    yield f"order {order_id} is fulfilled"


def parcel_lost(stage: Stage) -> Iterator[str]:
    """Send a parcel, and lose it on its way."""
    order_id = stage.order()
    stage.site.move_order(order_id, "packed")
    yield f"order {order_id} is packed"
    yield from _sent(stage, order_id)
    stage.site.move_parcel(f"{order_id}-P1", "lost")
    yield f"parcel {order_id}-P1 is lost"


def stock_import_failed(stage: Stage) -> Iterator[str]:
    """Let a stock import fail."""
    import_id = f"IMP-{next(stage.numbers)}"
    stage.site.emit("stock_import_error_occurred", {"import_id": import_id, "error": "invented: line 7 has no item"})
    yield f"import {import_id} failed"


def duplicate(stage: Stage) -> Iterator[str]:
    """Send one event twice: no handler runs again."""
    order_id = stage.order()
    stage.site.move_order(order_id, "picking")
    yield f"order {order_id} is in picking"
    stage.put("order_state_changed", json.dumps(stage.site.history[-1]).encode())
    yield "the same webhook is sent once more: no handler runs again"


def out_of_order(stage: Stage) -> Iterator[str]:
    """Send the later of two changes of one order first."""
    order_id = stage.order()
    stage.site.move_order(order_id, "packed")
    yield f"order {order_id} is packed"
    earlier = {"order_id": order_id, "date": int(time.time()) - 60, "old_state": "placed", "new_state": "picking"}
    stage.put("order_state_changed", json.dumps(earlier).encode())
    yield (
        f"order {order_id} was in picking a minute before, which arrives now: "
        "a handler with latest_only skips it, every other one runs"
    )


def unreadable(stage: Stage) -> Iterator[str]:
    """Send a body that is no JSON: a dead letter."""
    stage.put("order_state_changed", b"this body is not JSON")
    yield "a webhook without JSON is sent"


def unknown_event_type(stage: Stage) -> Iterator[str]:
    """Send an event type that nobody has seen before."""
    stage.webhook(UNKNOWN_EVENT_TYPE)
    order_id = stage.order()
    stage.site.emit(UNKNOWN_EVENT_TYPE, {"order_id": order_id})
    yield f"{UNKNOWN_EVENT_TYPE} of order {order_id} is sent"


def bad_signature(stage: Stage) -> Iterator[str]:
    """Sign a webhook with another key: 401, and nothing is stored."""
    with requests.Session() as session:
        url = f"{stage.webhooks_url}/order_state_changed"
        answer = send(session, url, b'{"order_id": "ORD-FORGED"}', keys=(b"another test key",))
    yield f"a webhook signed with another key is answered {answer.status_code}"


def burst(stage: Stage) -> Iterator[str]:
    """Change many orders at once."""
    for _ in range(BURST):
        stage.site.move_order(stage.order(), "picking")
    yield f"{BURST} orders are in picking"


def outage(stage: Stage) -> Iterator[str]:
    """Take Pub/Sub away: OneStock sends until it is back."""
    stage.emulator.freeze()
    stage.is_frozen = True
    try:
        order_id = stage.order()
        stage.site.move_order(order_id, "picking")
        yield f"Pub/Sub is out of reach for {OUTAGE_SECONDS} s; order {order_id} is in picking meanwhile"
        time.sleep(OUTAGE_SECONDS)
    finally:
        stage.emulator.thaw()
        stage.is_frozen = False
    yield "Pub/Sub is back: OneStock's next attempt is acknowledged"


def _sent(stage: Stage, order_id: str) -> Iterator[str]:
    parcel_id = f"{order_id}-P1"
    stage.site.add_parcel(order_id, parcel_id, tracking_code=f"TRACK-{order_id}")
    stage.site.move_parcel(parcel_id, "dispatched")
    yield f"parcel {parcel_id} is dispatched"


_PLAYS: tuple[Play, ...] = (
    order_fulfilled,
    partial_refund,
    parcel_lost,
    stock_import_failed,
    duplicate,
    out_of_order,
    unreadable,
    unknown_event_type,
    bad_signature,
    burst,
    outage,
)
SCENARIOS = {play.__name__.replace("_", "-"): play for play in _PLAYS}


def about(play: Play) -> str:
    """Return what a scenario shows, in one line."""
    return (play.__doc__ or "").partition("\n")[0]


def nearest_scenario(name: str) -> str | None:
    """Return the scenario whose name is most like `name`; None if none is."""
    return next(iter(difflib.get_close_matches(name, SCENARIOS, n=1)), None)
