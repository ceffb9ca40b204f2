"""What OneStock's API tells of an order, for a page that does not wait for it too long."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from relay.errors import ConfigurationError, OneStockError, OneStockNotFound
from relay.onestock import OneStock
from relay.onestock.changes import Change
from relay.onestock.models import Order
from relay.onestock.reconcile import changes_of
from relay.settings.onestock import OneStockSettings

BUDGET_SECONDS = 6.0  # Of one call with its repeats: a person waits for the page.
ORDER_FIELDS = ("id", "state", "date", "last_update", "types", "sales_channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOrder:
    """What OneStock tells of an order."""

    order: Order | None = None
    changes: tuple[Change, ...] | None = None
    """The changes in its history, oldest first; None where OneStock could not tell."""
    problem: str = ""
    """Why it could not; empty if it could."""


def is_asked(environ: Mapping[str, str]) -> bool:
    """Return whether OneStock's API is configured, so that pages of orders show what it tells."""
    return bool(environ.get("ONESTOCK_API_URL", "").strip())


def asked_order(environ: Mapping[str, str], order_id: str) -> AskedOrder:
    """Return what OneStock tells of an order now; never raises because of OneStock or its settings."""
    try:
        settings = OneStockSettings.if_set(environ)
        if settings is None:
            return AskedOrder(problem="OneStock is not asked: ONESTOCK_API_URL is not set")
        return _told(settings, order_id)
    except OneStockNotFound:
        return AskedOrder(problem=f"OneStock knows no order {order_id}")
    except (OneStockError, ConfigurationError) as error:
        return AskedOrder(problem=f"OneStock could not be asked: {error}")


def _told(settings: OneStockSettings, order_id: str) -> AskedOrder:
    bounds = {name: min(BUDGET_SECONDS, getattr(settings, name)) for name in ("budget_seconds", "answer_seconds")}
    with closing(OneStock.connected(settings.model_copy(update=bounds))) as client:
        order = client.get_order(order_id, fields=ORDER_FIELDS)
        found = changes_of(order, client.get_history(order_id))
    if found.is_undated:
        return AskedOrder(order=order, problem="OneStock's history tells no change of this order")
    return AskedOrder(order=order, changes=found.changes)
