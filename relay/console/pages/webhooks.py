"""Webhooks: those at OneStock, what came in, and whether everything that came in is accounted for."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, NotFound

from relay.console import actions
from relay.console.asking import Question
from relay.console.chart import chart_of
from relay.console.context import console, console_of
from relay.console.ranges import LENGTHS, TimeRange, range_in
from relay.console.reading import Searched
from relay.console.webhooks import SeenWebhook, set_status, webhooks_at_onestock
from relay.errors import RelayError
from relay.investigation.balance import MARGIN, Balance, Gap, balance_in, balance_of_records, forgotten_by
from relay.investigation.counts import Count
from relay.investigation.index import Page
from relay.investigation.rates import rates_of, webhooks_among
from relay.investigation.records import EventFilter
from relay.onestock import WebhookStatus

KEPT_SECONDS = 15.0
WAIT_SECONDS = 3.0
MAX_LISTED = 200
_STATUSES = {"enable": WebhookStatus.ENABLED, "pause": WebhookStatus.PAUSED}
_NAME = "relay.webhooks"

pages = Blueprint("webhooks", __name__)


@pages.record_once
def _make_question(state: BlueprintSetupState) -> None:
    environ = console_of(state.app.extensions).environ
    state.app.extensions[_NAME] = Question(lambda: webhooks_at_onestock(environ))


def _question() -> Question[list[SeenWebhook]]:
    return cast("Question[list[SeenWebhook]]", current_app.extensions[_NAME])


@pages.get("/webhooks")
def show() -> ResponseReturnValue:
    """Show OneStock's webhooks, and the balance of a time range."""
    meant, problem = range_in(request.args, now=datetime.now(UTC))
    searched = _searched(meant)
    lines = list(searched.index.summaries(lambda _: True))
    received, latest = webhooks_among(lines), console().reading.index
    rates = rates_of(received, since=meant.since, until=meant.until)
    gaps = [*forgotten_by(searched.index, meant.since), *_unread(searched)]
    return render_template(
        "webhooks.html",
        answer=_question().answer(max_age_seconds=KEPT_SECONDS, wait_seconds=WAIT_SECONDS),
        # What was searched may end long before now.
        latest=received if searched.index is latest else webhooks_among(latest.summaries(lambda _: True)),
        now=datetime.now(UTC),
        changed=request.args.get("changed", ""),
        meant=meant,
        lengths=list(LENGTHS),
        problem=problem,
        searched=searched,
        balance=balance_of_records(lines, since=meant.since, until=meant.until, gaps=gaps),
        rates=rates,
        chart=chart_of(rates),
        command=command_of(meant),
    )


@pages.get("/webhooks/events")
def events() -> ResponseReturnValue:
    """Show the events that make up one number of the balance. `of`, repeated, is its way: `webhooks`, `refused`."""
    meant, problem = range_in(request.args, now=datetime.now(UTC))
    searched = _searched(meant)
    of = request.args.getlist("of")
    number = _number(of, searched, meant)
    records = [record for id_ in number.event_ids if (record := searched.index.find(id_))]
    return render_template(
        "balance_events.html",
        number=number,
        meant=meant,
        page=Page(records=tuple(records), older=""),
        searched=searched,
        problem=problem,
        command=command_of(meant),
    )


@pages.post("/webhooks/status")
def change() -> ResponseReturnValue:
    """Enable or pause one webhook, then show the list."""
    id_, name = request.form.get("id", ""), request.form.get("action", "")
    if not id_ or name not in _STATUSES:
        raise BadRequest(f"action: write one of {', '.join(_STATUSES)}; id: write a webhook's id")
    action = actions.begin(console(), f"{name} webhook", ids=[id_], form=request.form)
    try:
        set_status(console().environ, id_, _STATUSES[name])
    except RelayError:
        actions.end(console(), action, {"failed": [id_]})
        raise
    actions.end(console(), action, {f"{name}d": [id_]})
    _question().ask(wait_seconds=WAIT_SECONDS, after_change=True)
    return redirect(url_for("webhooks.show", changed=id_), code=303)


def command_of(meant: TimeRange) -> str:
    """Return the command line that gives the same balance as JSON."""
    return shlex.join(["relay", "balance", *meant.options, "--json"])


def _searched(meant: TimeRange) -> Searched:
    """Return the lines of a range and of what is before it: an event may have been on its way when it began."""
    return console().reading.searched(EventFilter(since=meant.since - MARGIN))


def _unread(searched: Searched) -> Iterator[Gap]:
    """Yield why lines of the range may be missing from the balance."""
    if searched.is_cut:
        text = (
            "There were more lines than one search reads, so these numbers are too low: choose a shorter range, or run "
            "the command below"
        )
        yield Gap(name="lines left out", count=0, event_ids=(), text=text)
    if problem := console().reading.problem:
        text = f"The lines cannot be read now, so some may be missing: {problem.rstrip('.')}"
        yield Gap(name="lines not read", count=0, event_ids=(), text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number of the balance, and some of the events that make it up."""

    name: str
    count: int
    event_ids: tuple[str, ...] = field(default=())


def _number(of: list[str], searched: Searched, meant: TimeRange) -> Number:
    balance = balance_in(searched.index, since=meant.since, until=meant.until, max_event_ids=MAX_LISTED)
    section, *names = of or [""]
    if section == "gaps":
        gap = next((gap for gap in balance.gaps if [gap.name] == names), None)
        return Number(name=gap.text, count=gap.count, event_ids=gap.event_ids) if gap else _nothing(names)
    if section not in _sections(balance):
        raise NotFound(f"The balance has no number {'/'.join(of)!r}")
    try:
        count = _sections(balance)[section].part(*names)
    except KeyError:
        return _nothing(names)
    return Number(
        name=": ".join([_sections(balance)[section].name, *names]), count=count.count, event_ids=count.event_ids
    )


def _nothing(names: list[str]) -> Number:
    """Return a number that other lines than now made up."""
    return Number(name=": ".join(names), count=0)


def _sections(balance: Balance) -> dict[str, Count]:
    return {
        "webhooks": balance.webhooks,
        "published_events": balance.published_events,
        "deliveries": balance.deliveries,
        "delivered_events": balance.delivered_events,
    }
