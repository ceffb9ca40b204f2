"""The API of the simulated OneStock. No I/O: a request's method, path and JSON in, a status and JSON out."""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from relay.local.simulator.site import Site
from relay.local.simulator.webhooks import Status, WebhookQueue

SITE_ID = "simulated-site"
USER_ID = "relay"
PASSWORD = "test-password-of-the-simulator"  # noqa: S105 - made for it
DEFAULT_LIMIT = 25
_DIGITS_OF_A_DATE = 14

Content = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """Each open question about OneStock's API, and an answer to it."""

    wraps_objects: bool = False
    """Whether an order comes in `{"order": ...}`."""
    heeds_start: bool = True
    """Whether `start` (an order's id, or a number) chooses the page; else only `search_after` does."""
    shows_hash_keys: bool = False
    """Whether the answers about webhooks hold the hash keys."""


class Refusal(Exception):
    """An answer that is an error: `{"error", "message"}`."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class SimulatedApi:
    """Answers the calls of docs/onestock.md, "Calls to OneStock's API", in the versions that it names and no others."""

    def __init__(self, site: Site, options: ApiOptions = ApiOptions()) -> None:
        self._site = site
        self._options = options
        self._routes: Sequence[tuple[str, str, Callable[..., Any]]] = (
            ("GET", r"/v2/orders/(.+)", self._order),
            ("GET", r"/v2/search_orders", self._search),
            ("GET", r"/v1/history", self._history),
            ("GET", r"/v2/parcels/(.+)", self._parcel),
            ("GET", r"/v2/line_item_groups", self._groups),
            ("GET", r"/v3/webhooks", self._webhooks),
            ("GET", r"/v3/webhooks/(.+)", self._webhook),
            ("POST", r"/webhooks", self._create_webhook),
            ("PATCH", r"/webhooks/([^/]+)/status", self._set_status),
        )

    def answer(self, method: str, path: str, content: Content) -> tuple[HTTPStatus, Any]:
        """Return status and content of the answer to one request; `path` is unquoted."""
        try:
            with self._site.lock:
                return HTTPStatus.OK, self._routed(method, path, content)
        except Refusal as refusal:
            return refusal.status, {"error": refusal.status.phrase.lower().replace(" ", "_"), "message": str(refusal)}

    def _routed(self, method: str, path: str, content: Content) -> Any:
        if content.get("site_id") != SITE_ID:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "unknown site_id")
        if (method, path) == ("POST", "/v2/login"):
            return self._log_in(content)
        if not self._site.is_logged_in(content.get("token")):
            raise Refusal(HTTPStatus.UNAUTHORIZED, "invalid or expired token")
        for wanted, pattern, answer in self._routes:
            if method == wanted and (found := re.fullmatch(pattern, path)):
                return answer(content, *found.groups())
        raise Refusal(HTTPStatus.NOT_FOUND, f"no call {method} {path}")

    def _log_in(self, content: Content) -> Any:
        if (content.get("user_id"), content.get("password")) != (USER_ID, PASSWORD):
            raise Refusal(HTTPStatus.UNAUTHORIZED, "wrong user_id or password")
        return {"token": self._site.log_in()}

    def _order(self, content: Content, order_id: str) -> Any:
        order = self._site.orders.get(order_id)
        if order is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no order {order_id}")
        return self._wrapped("order", _chosen(order, content))

    def _search(self, content: Content) -> Any:
        state = content.get("filter", {}).get("state")
        first, last = _moment(content.get("from_date"), 0), _moment(content.get("to_date"), float("inf"))
        pattern = content.get("pattern", "")
        found = [
            order
            for order in sorted(self._site.orders.values(), key=lambda order: (order["date"], order["id"]))
            if state in (None, order["state"]) and first <= order["date"] <= last and pattern in order["id"]
        ]
        page, pagination = self._page(found, content, key=lambda order: [order["date"], order["id"]])
        return {"orders": [_chosen(order, content) for order in page], "pagination": pagination}

    def _history(self, content: Content) -> Any:
        changes = [change for change in self._site.history if change["order_id"] == content.get("order_id")]
        page, pagination = self._page(changes, content, key=lambda change: [changes.index(change)])
        return {"history": page, "pagination": pagination}

    def _parcel(self, _: Content, parcel_id: str) -> Any:
        parcel = self._site.parcel(parcel_id)
        if parcel is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no parcel {parcel_id}")
        return self._wrapped("parcel", copy.deepcopy(parcel))

    def _groups(self, content: Content) -> Any:
        order = self._site.orders.get(content.get("filter", {}).get("order_id"), {})
        return {"line_item_groups": copy.deepcopy(order.get("line_item_groups", []))}

    def _webhooks(self, _: Content) -> Any:
        return {"webhooks": [self._shown(webhook) for webhook in list(self._site.webhooks.values())]}

    def _webhook(self, _: Content, webhook_id: str) -> Any:
        return self._wrapped("webhook", self._shown(self._known(webhook_id)))

    def _create_webhook(self, content: Content) -> Any:
        wanted = content.get("webhook", {})
        missing = [name for name in ("hash_key", "http_method", "status", "topics", "url") if not wanted.get(name)]
        if missing:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"webhook lacks {', '.join(missing)}")
        event_type, *others = wanted["topics"]
        webhook = self._site.create_webhook(
            event_type, wanted["url"], keys=[wanted["hash_key"].encode()], status=_status(wanted["status"])
        )
        webhook.event_types = (event_type, *others)
        return {"id": webhook.id}

    def _set_status(self, content: Content, webhook_id: str) -> Any:
        self._known(webhook_id).set_status(_status(content.get("status")))
        return {}

    def _known(self, webhook_id: str) -> WebhookQueue:
        webhook = self._site.webhooks.get(webhook_id)
        if webhook is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no webhook {webhook_id}")
        return webhook

    def _shown(self, webhook: WebhookQueue) -> dict[str, Any]:
        shown = {
            "id": webhook.id,
            "http_method": "POST",
            "status": webhook.status,
            "topics": list(webhook.event_types),
            "url": webhook.url,
        }
        return {**shown, "hash_key": webhook.keys[0].decode()} if self._options.shows_hash_keys else shown

    def _page(
        self, found: Sequence[Any], content: Content, *, key: Callable[[Any], list[Any]]
    ) -> tuple[list[Any], dict[str, Any]]:
        asked = content.get("pagination", {})
        limit, start, after = asked.get("limit", DEFAULT_LIMIT), asked.get("start", 0), asked.get("search_after")
        if isinstance(start, str):
            start = 1 + [item["id"] for item in found].index(start)
        if self._options.heeds_start:
            return copy.deepcopy(list(found[start : start + limit])), {"limit": limit, "start": start}
        rest = found if after is None else [item for item in found if key(item) > after]
        page = copy.deepcopy(list(rest[:limit]))
        return page, {"limit": limit, "search_after": key(page[-1])} if page else {"limit": limit}

    def _wrapped(self, name: str, thing: Any) -> Any:
        return {name: thing} if self._options.wraps_objects else thing


def _moment(date: int | None, default: float) -> float:
    """Return a date as Unix seconds. It is written as such, or as the digits YYYYMMDDhhmmss."""
    if date is None:
        return default
    digits = str(date)
    is_written_out = len(digits) == _DIGITS_OF_A_DATE
    return datetime.strptime(f"{digits}+0000", "%Y%m%d%H%M%S%z").timestamp() if is_written_out else date


def _chosen(order: Content, content: Content) -> dict[str, Any]:
    fields = content.get("fields")
    return copy.deepcopy({name: value for name, value in order.items() if fields is None or name in fields})


def _status(name: object) -> Status:
    if not isinstance(name, str) or name not in list(Status):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"no status {name!r}")
    return Status(name)
