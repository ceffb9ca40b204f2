"""What a caller leaves open or mistypes: an order that exists at OneStock, and a known event type."""

import secrets
import sys
import time
from collections.abc import Mapping

import click

from relay.cli.tables import say
from relay.errors import OneStockError, OneStockNotFound
from relay.events import nearest_event_type
from relay.settings.onestock import OneStockSettings

_RECENT_SECONDS = 86_400
_ASKING_SECONDS = 5  # The webhook is sent without an answer too.


def chosen_event_type(event_type: str) -> str:
    """Return the event type that is meant.

    One that resembles a known one is a question; without a terminal, wrong use.
    """
    nearest = nearest_event_type(event_type)
    if nearest is None:
        return event_type
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{event_type!r} is no known event type; is {nearest!r} meant? To take it all the same: --as-it-is"
        )
    return (
        nearest if click.confirm(f"{event_type!r} is no known event type. Take {nearest!r}?", err=True) else event_type
    )


def chosen_order(order_id: str | None, environ: Mapping[str, str]) -> str:
    """Return the order to send about: the one that is named, else one that exists at OneStock, else an invented one.

    Says on stderr where OneStock has no such order: a handler that asks for it will not find it.
    """
    invented = order_id or f"ORD-TEST-{secrets.token_hex(3)}"
    if not environ.get("ONESTOCK_API_URL"):
        return invented
    # Imported here, so that --help does not wait for it.
    from relay.onestock import OneStock

    settings = OneStockSettings.from_environ(environ)
    within = {"answer_seconds": _ASKING_SECONDS, "budget_seconds": _ASKING_SECONDS}
    onestock = OneStock.connected(settings.model_copy(update=within), first_contact_seconds=0)
    try:
        if order_id is not None:
            return onestock.get_order(order_id, fields=("id",)).id
        recent = onestock.search_orders(from_date=time.time() - _RECENT_SECONDS, page_size=1)
        found = next(recent, None)
        if found is not None:
            return found.id
        _note(f"OneStock has no order of the last day, so {invented} is invented")
    except OneStockNotFound:
        _note(f"OneStock has no order {invented}")
    except OneStockError as error:
        click.echo(f"Sending about order {invented}, which may not exist: {error}", err=True)
    finally:
        onestock.close()
    return invented


def _note(text: str) -> None:
    say(f"{text}: a handler that asks OneStock for it will not find it. Orders: relay trigger list", err=True)
