"""The client of OneStock's API that handlers and commands use: typed methods over the calls of `relay.onestock.api`.

Every method raises a OneStockError. If a handler lets it escape, Pub/Sub delivers the event again later. A handler may
catch OneStockNotFound, for example to `Reject` an event about an order that does not exist.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, SecretStr, ValidationError

from relay.errors import OneStockRefused, OneStockUnreadable
from relay.onestock.api import Api, Call, path_of
from relay.onestock.http import NEVER, PooledExchange
from relay.onestock.models import LineItemGroup, Order, Parcel, RegisteredWebhook, StateChange
from relay.settings.onestock import OneStockSettings

ORDER_FIELDS = (
    "id",
    "types",
    "date",
    "last_update",
    "sales_channel",
    "state",
    "information",
    "customer",
    "delivery",
    "pricing_details",
    "order_items",
    "line_item_groups",
    "parcels",
)
"""The fields that `get_order` asks for by default: the ones that integrators use."""
SEARCH_FIELDS = ("id", "state", "date", "last_update")
PAGE_SIZE = 50  # The most orders that OneStock gives at once (likely).
HISTORY_PAGE_SIZE = 100  # The most entries that OneStock gives at once (likely).

M = TypeVar("M", bound=BaseModel)


class OneStock:
    """Calls OneStock as the user in the settings. Any number of threads may share one: make one for each process."""

    def __init__(self, settings: OneStockSettings, api: Api, *, close: Callable[[], None] = lambda: None) -> None:
        """`close` closes the connections of `api`. `OneStock.connected` makes all the parts."""
        self._settings = settings
        self._api = api
        self.close = close

    @classmethod
    def connected(cls, settings: OneStockSettings, *, first_contact_seconds: float = NEVER) -> Self:
        """Return a client with its own connections. It sends nothing before the first call.

        `first_contact_seconds` bounds how long it looks for an API that never answered, below the settings' budget.
        """
        exchange = PooledExchange()
        api = Api(settings, exchange, first_contact_seconds=first_contact_seconds)
        return cls(settings, api, close=exchange.close)

    def get_order(self, order_id: str, *, fields: Sequence[str] = ORDER_FIELDS) -> Order:
        """Return an order as it is now. The fields that OneStock does not send are empty."""
        call = self._get("orders", f"orders/{_segment(order_id)}", {"fields": list(fields)})
        return _read(Order, _unwrapped(self._api.call(call), "order"), call)

    def search_orders(
        self,
        *,
        state: str | None = None,
        from_date: float | None = None,
        to_date: float | None = None,
        pattern: str | None = None,
        fields: Sequence[str] = SEARCH_FIELDS,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Order]:
        """Yield the orders that match; fetch a page when its first order is asked for.

        The dates are in Unix seconds. OneStock compares them with the date of the order (likely, not its last update).
        The sequence of the orders is open, and so is whether OneStock obeys `fields`. That `start` is the id of the
        last order is likely: raises OneStockUnreadable if the pages repeat themselves.
        """
        content: dict[str, Any] = {"fields": list(fields)}
        content |= {"filter": {"state": state}} if state else {}
        content |= {"from_date": self._date(from_date)} if from_date is not None else {}
        content |= {"to_date": self._date(to_date)} if to_date is not None else {}
        content |= {"pattern": pattern} if pattern else {}
        pagination: Mapping[str, Any] = {"limit": page_size}
        seen: set[str] = set()
        while True:
            call = self._get("search_orders", "search_orders", {**content, "pagination": pagination})
            answer = self._api.call(call)
            page = [_read(Order, item, call) for item in _list_in(answer, "orders", call)]
            new = [order for order in page if order.id not in seen]
            if not new:
                _check_is_all(call, page, page_size)
                return
            yield from new
            seen.update(order.id for order in new)
            pagination = {"limit": page_size, **_place_in(answer, start=page[-1].id)}

    def get_history(self, order_id: str, *, page_size: int = HISTORY_PAGE_SIZE) -> Iterator[StateChange]:
        """Yield the entries of an order's history, in OneStock's sequence. Some may be no changes of its state."""
        pagination: Mapping[str, Any] = {"limit": page_size}
        before: list[Any] = []
        count = 0
        while True:
            call = self._get("history", "history", {"order_id": order_id, "pagination": pagination})
            answer = self._api.call(call)
            page = _list_in(answer, "history", call)
            if not page or page == before:
                _check_is_all(call, page, page_size)
                return
            yield from (_read(StateChange, item, call) for item in page)
            before, count = page, count + len(page)
            pagination = {"limit": page_size, **_place_in(answer, start=count)}

    def get_parcel(self, parcel_id: str) -> Parcel:
        """Return a parcel with its shipment."""
        call = self._get("parcels", f"parcels/{_segment(parcel_id)}", {})
        return _read(Parcel, _unwrapped(self._api.call(call), "parcel"), call)

    def get_line_item_groups(self, order_id: str) -> tuple[LineItemGroup, ...]:
        """Return the line item groups of an order; none if the order does not exist."""
        call = self._get("line_item_groups", "line_item_groups", {"filter": {"order_id": order_id}})
        groups = _list_in(self._api.call(call), "line_item_groups", call)
        return tuple(_read(LineItemGroup, group, call) for group in groups)

    def list_webhooks(self) -> tuple[RegisteredWebhook, ...]:
        """Return all webhooks of the site, including the ones that do not lead to our receiver."""
        call = self._get("webhooks", "webhooks", {})
        return tuple(
            _read(RegisteredWebhook, webhook, call) for webhook in _list_in(self._api.call(call), "webhooks", call)
        )

    def get_webhook(self, webhook_id: str) -> RegisteredWebhook:
        """Return one webhook."""
        call = self._get("webhooks", f"webhooks/{_segment(webhook_id)}", {})
        return _read(RegisteredWebhook, _unwrapped(self._api.call(call), "webhook"), call)

    def create_webhook(self, event_type: str, url: str, *, hash_key: SecretStr, status: str = "enabled") -> str | None:
        """Make a webhook that sends the events of one type to `url`; return its id if OneStock's answer has it.

        The call is not repeated if OneStock may have received it, because each call makes one more webhook. After
        OneStockUnavailable, look at `list_webhooks`.
        """
        webhook = {
            "hash_key": hash_key.get_secret_value(),
            "http_method": "POST",
            "status": status,
            "topics": [event_type],
            "url": url,
        }
        call = Call(
            method="POST",
            path=path_of(self._settings, "change_webhooks", "webhooks"),
            content={"webhook": webhook},
            is_repeatable=False,
            secrets=(hash_key,),
        )
        answer = _unwrapped(self._api.call(call), "webhook")
        id_ = answer.get("id") if isinstance(answer, dict) else None
        return None if id_ is None else str(id_)

    def set_webhook_status(self, webhook_id: str, status: str) -> None:
        """Set a webhook to `enabled`, `paused` or `disabled`. OneStock drops the events of a disabled webhook."""
        path = path_of(self._settings, "change_webhooks", f"webhooks/{_segment(webhook_id)}/status")
        self._api.call(Call(method="PATCH", path=path, content={"status": status}))

    def _get(self, name: str, path: str, content: Mapping[str, Any]) -> Call:
        return Call(method="GET", path=path_of(self._settings, name, path), content=content)

    def _date(self, unix_seconds: float) -> int:
        if self._settings.dates == "unix":
            return int(unix_seconds)
        return int(datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y%m%d%H%M%S"))


def _segment(id_: str) -> str:
    """Return an id quoted as one segment of a path, so that no id leads to another path."""
    if id_ in ("", ".", ".."):
        raise OneStockRefused("a call by id", f"{id_!r} cannot be an id")
    return quote(id_, safe="")


def _unwrapped(content: Any, name: str) -> Any:
    """Return the object in an answer: OneStock sends it bare, or in an object under its name."""
    if isinstance(content, dict) and isinstance(content.get(name), dict) and "id" not in content:
        return content[name]
    return content


def _list_in(content: Any, name: str, call: Call) -> list[Any]:
    found = content.get(name) if isinstance(content, dict) else content
    if not isinstance(found, list):
        raise OneStockUnreadable(str(call), f"the answer holds no list {name!r}")
    return found


def _place_in(answer: Any, *, start: object) -> Mapping[str, Any]:
    """Return where the next page begins: as the answer says (OneStock has two words for it), else after `start`."""
    pagination = answer.get("pagination") if isinstance(answer, dict) else None
    if not isinstance(pagination, dict):
        return {"start": start}
    return {name: pagination[name] for name in ("search_after", "id") if pagination.get(name)} or {"start": start}


def _check_is_all(call: Call, page: Sequence[Any], page_size: int) -> None:
    """Raise OneStockUnreadable if the page that repeats itself is full: more may follow that cannot be fetched."""
    if len(page) >= page_size:
        raise OneStockUnreadable(str(call), "the pages repeat themselves: the entries after them cannot be fetched")


def _read(model: type[M], content: Any, call: Call) -> M:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        places = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in problems
        )
        raise OneStockUnreadable(str(call), f"does not fit {model.__name__}: {places}") from None
