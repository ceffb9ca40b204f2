"""Events, newest first, live: the list, its filters, and the search box that knows ids."""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from relay import moments
from relay.console.context import console
from relay.console.onestock import is_asked
from relay.investigation.history import Whereabouts
from relay.investigation.index import Page
from relay.investigation.records import EventFilter
from relay.investigation.search import begins_event_id, is_trace_id

PAGE_SIZE = 50
_OPTIONS = {
    "order_id": "--order",
    "event_id": "--event-id",
    "trace_id": "--trace",
    "event_type": "--event-type",
    "whereabouts": "--where",
    "handler": "--handler",
    "reason": "--reason",
    "since": "--since",
    "until": "--until",
}
_LABELS = {"since": "From (UTC)", "until": "Until (UTC)", "whereabouts": "Where it is"}
_TIMES = ("since", "until")
_TIME_HELP = ". Write how long ago, such as 1h or 30m, or a time such as 2026-01-31T09:30Z"
_RANGES = {"15m": "15 min", "1h": "1 h", "6h": "6 h", "24h": "24 h"}

pages = Blueprint("events", __name__)


@pages.get("/")
def list_() -> ResponseReturnValue:
    """Show the page with the newest events that are meant."""
    wanted, unknown = wanted_by(request.args)
    typed = {name: request.args.get(name, "").strip() for name in _TIMES}
    chosen = parameters_of(wanted)
    return render_template(
        "events.html",
        **_rows(wanted),
        wanted=wanted,
        unknown=unknown,
        typed=typed,
        ranges=_RANGES,
        timeless={name: text for name, text in chosen.items() if name not in _TIMES},
        names=console().reading.index.names(),
        whereabouts=list(Whereabouts),
        # The times as they were typed: 1h means the last hour, also when the command is run later.
        command=command_of({name: typed.get(name, text) for name, text in chosen.items()}),
    )


@pages.get("/rows")
def rows() -> ResponseReturnValue:
    """Show the rows alone, for a page that is live."""
    return render_template("_event_rows.html", **_rows(wanted_by(request.args)[0]))


@pages.get("/newer")
def newer() -> ResponseReturnValue:
    """Tell a page that is paused how many events have come."""
    wanted, _ = wanted_by(request.args)
    count = console().reading.index.count_newer_than(request.args.get("after", ""), wanted)
    return render_template("_newer.html", count=count)


@pages.get("/search")
def search() -> ResponseReturnValue:
    """Lead to the page of what the text names: an order id, a trace id, an event id or its beginning.

    A text that names nothing leads to the list, which says so and where it was searched.
    """
    text = request.args.get("q", "").strip()
    id_ = text.lower()
    if not text:
        return redirect(url_for("events.list_"))
    if is_trace_id(id_) and _has_some(EventFilter(trace_id=id_)):
        return redirect(url_for("events.list_", trace_id=id_))
    if begins_event_id(id_) and not _is_here(EventFilter(order_id=text)):
        wanted = EventFilter(event_id=id_)
        found = console().reading.searched(wanted).index.find(id_)
        if found is not None:
            return redirect(url_for("event.show", id_=found.key))
        if _has_some(wanted):
            return redirect(url_for("events.list_", event_id=id_))
    for order_id in dict.fromkeys((text, text.upper())):
        if _has_some(EventFilter(order_id=order_id)):
            return redirect(url_for("order.show", order_id=order_id))
    return redirect(url_for("events.list_", order_id=text, q=text))


def _is_here(wanted: EventFilter) -> bool:
    """Return whether the window holds such an event; a source is not asked for that."""
    return bool(console().reading.index.page(wanted, limit=1).records)


def _has_some(wanted: EventFilter) -> bool:
    """Return whether there is such an event, wherever the source has it. Raises LogUnreadable."""
    return _is_here(wanted) or bool(console().reading.searched(wanted).index.page(wanted, limit=1).records)


def wanted_by(args: Any) -> tuple[EventFilter, list[str]]:
    """Return the filter that a URL's parameters ask for, and which of them nobody understands."""
    values: dict[str, Any] = {}
    unknown = []
    for name in (field.name for field in fields(EventFilter)):
        text = str(args.get(name, "")).strip()
        value = _value_of(name, text) if text else None
        if value is not None:
            values[name] = value
        elif text:
            help_ = _TIME_HELP if name in _TIMES else ""
            unknown.append(f"{_LABELS[name]}: {text!r} is not understood, so this filter is left out{help_}")
    return EventFilter(**values), unknown


def _value_of(name: str, text: str) -> str | datetime | Whereabouts | None:
    match name:
        case "since" | "until":
            return moments.typed(text)
        case "whereabouts":
            return Whereabouts.named(text)
        case "event_id" | "trace_id":
            return text.lower()
    return text


def parameters_of(wanted: EventFilter) -> dict[str, str]:
    """Return a URL's parameters for a filter; `wanted_by` makes the filter of them."""
    values = {field.name: getattr(wanted, field.name) for field in fields(EventFilter)}
    return {name: _text_of(value) for name, value in values.items() if value}


def _text_of(value: str | datetime | Whereabouts) -> str:
    match value:
        case Whereabouts():
            return value.name.lower()
        case datetime():
            return value.isoformat()
    return value


def command_of(chosen: Mapping[str, str]) -> str:
    """Return the command line that gives the events of these parameters as JSON."""
    options = [part for name, value in chosen.items() for part in (_OPTIONS[name], value)]
    return shlex.join(["relay", "events", *options, "--json"])


def _rows(wanted: EventFilter) -> dict[str, Any]:
    """Return what the rows' template shows."""
    searched = console().reading.searched(wanted)
    older_than = request.args.get("older_than", "")
    page: Page = searched.index.page(wanted, older_than=older_than, limit=PAGE_SIZE)
    return {
        "page": page,
        "searched": searched,
        "parameters": parameters_of(wanted),
        "is_first": not older_than,
        "searched_text": request.args.get("q", ""),
        "asks_onestock": is_asked(console().environ),
        "problem": console().reading.problem,
    }
