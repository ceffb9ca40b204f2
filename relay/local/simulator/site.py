"""One site at the simulated OneStock: its orders and parcels, its webhooks, and its tokens. Knows nothing of HTTP."""

import itertools
import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relay.local.simulator.times import SimulatedTime
from relay.local.simulator.webhooks import Attempt, Schedule, Status, WebhookQueue

TOKEN_SECONDS = 86_400


class Site:
    """Queues an event at the webhooks of its type whenever something changes. Any number of threads may share it."""

    def __init__(
        self,
        *,
        time: SimulatedTime,
        schedule: Schedule = Schedule(),  # noqa: B008 - it cannot change
        report: Callable[[Attempt], None] = lambda _: None,
        token_seconds: float = TOKEN_SECONDS,
    ) -> None:
        """`report` is called after each attempt to deliver; `token_seconds` are simulated ones."""
        self.time = time
        self.orders: dict[str, dict[str, Any]] = {}
        self.history: list[dict[str, Any]] = []
        """The changes of all orders' states, oldest first."""
        self.webhooks: dict[str, WebhookQueue] = {}
        self._schedule = schedule
        self._report = report
        self._token_seconds = token_seconds
        self._tokens: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self.lock = threading.RLock()
        """The site holds it for each change; a reader of the orders has to take it too."""

    def place_order(self, order_id: str, *, items: Mapping[str, int], state: str = "placed", **fields: Any) -> None:
        """Make an order with one line item group for each item. OneStock sends no event of a new order."""
        now = int(self.time.now())
        lines = [
            {"id": f"{order_id}-I{number}", "item_id": item_id, "quantity": quantity}
            for number, (item_id, quantity) in enumerate(items.items(), start=1)
        ]
        groups = [self._group(order_id, number, line, state) for number, line in enumerate(lines, start=1)]
        with self.lock:
            self.orders[order_id] = {
                "id": order_id,
                "types": ["ffs"],
                "date": now,
                "last_update": now,
                "sales_channel": "web",
                "state": state,
                "order_items": lines,
                "line_item_groups": groups,
                "parcels": [],
                **fields,
            }

    def move_order(self, order_id: str, new_state: str) -> None:
        """Bring an order into another state."""
        with self.lock:
            order = self.orders[order_id]
            change = self._change(order, new_state, order_id=order_id)
            self.history.append(change)
            self._emit("order_state_changed", change)

    def move_group(self, order_id: str, group_id: str, new_state: str) -> None:
        """Bring a line item group into another state."""
        with self.lock:
            group = _by_id(self.orders[order_id]["line_item_groups"], group_id)
            self._emit("line_item_group_state_changed", self._change(group, new_state, id=group_id, order_id=order_id))

    def add_parcel(self, order_id: str, parcel_id: str, *, tracking_code: str | None = None) -> None:
        """Pack the groups of the order that are in no parcel yet."""
        shipment = {"transporter": "Invented Post"}
        if tracking_code is not None:
            link = f"https://tracking.example/{tracking_code}"
            shipment |= {"tracking_code": tracking_code, "tracking_link": link}
        with self.lock:
            order = self.orders[order_id]
            order["parcels"].append({"id": parcel_id, "order_id": order_id, "state": "created", "shipment": shipment})
            for group in order["line_item_groups"]:
                group.setdefault("parcel_id", parcel_id)
            order["last_update"] = int(self.time.now())

    def move_parcel(self, parcel_id: str, new_state: str) -> None:
        """Bring a parcel into another state."""
        with self.lock:
            parcel = self.parcel(parcel_id)
            if parcel is None:
                raise KeyError(parcel_id)
            order_id = parcel["order_id"]
            self._emit("parcel_state_changed", self._change(parcel, new_state, parcel_id=parcel_id, order_id=order_id))

    def emit(self, event_type: str, content: Mapping[str, Any]) -> None:
        """Send an event of any type, such as one that a customer's workflow triggers."""
        with self.lock:
            self._emit(event_type, {**content, "date": int(self.time.now())})

    def parcel(self, parcel_id: str) -> dict[str, Any] | None:
        """Return a parcel, or None."""
        with self.lock:
            parcels = (parcel for order in self.orders.values() for parcel in order["parcels"])
            return next((parcel for parcel in parcels if parcel["id"] == parcel_id), None)

    def create_webhook(
        self, event_type: str, url: str, *, keys: Sequence[bytes], status: Status = Status.ENABLED
    ) -> WebhookQueue:
        """Register a webhook, as a person or the API does."""
        with self.lock:
            webhook = WebhookQueue(
                id_=f"WH-{next(self._numbers)}",
                url=url,
                event_types=[event_type],
                keys=keys,
                status=status,
                schedule=self._schedule,
                time=self.time,
                report=self._report,
            )
            self.webhooks[webhook.id] = webhook
            return webhook

    @property
    def is_idle(self) -> bool:
        """Whether all queues are empty."""
        with self.lock:
            return all(webhook.is_idle for webhook in self.webhooks.values())

    def log_in(self) -> str:
        """Return a new token, which expires after about a day."""
        token = secrets.token_hex(16)
        with self.lock:
            self._tokens[token] = self.time.now() + self._token_seconds
        return token

    def is_logged_in(self, token: object) -> bool:
        """Return whether a token is valid."""
        with self.lock:
            return isinstance(token, str) and self._tokens.get(token, 0) > self.time.now()

    def end_tokens(self) -> None:
        """Let all tokens expire now."""
        with self.lock:
            self._tokens.clear()

    def close(self) -> None:
        """Stop all webhooks."""
        with self.lock:
            webhooks = list(self.webhooks.values())
        for webhook in webhooks:
            webhook.close()

    def _group(self, order_id: str, number: int, line: Mapping[str, Any], state: str) -> dict[str, Any]:
        return {
            "id": f"{order_id}-G{number}",
            "order_id": order_id,
            "order_item_id": line["id"],
            "item_id": line["item_id"],
            "endpoint_id": "SHOP-1",
            "quantity": line["quantity"],
            "state": state,
            "index_ranges": [{"from": 0, "to": line["quantity"] - 1}],
        }

    def _change(self, thing: dict[str, Any], new_state: str, **ids: str) -> dict[str, Any]:
        date = int(self.time.now())
        change = {**ids, "date": date, "old_state": thing["state"], "new_state": new_state}
        thing["state"] = new_state
        self.orders[ids["order_id"]]["last_update"] = date
        return change

    def _emit(self, event_type: str, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode()
        for webhook in self.webhooks.values():
            if event_type in webhook.event_types:
                webhook.put(event_type, body)


def _by_id(things: Sequence[dict[str, Any]], id_: str) -> dict[str, Any]:
    return next(thing for thing in things if thing["id"] == id_)
