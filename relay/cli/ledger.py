"""`relay ledger`: whether anything was lost in a time, and what."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from relay.cli import catching_up
from relay.cli.lines import LineFiles, lines_option, project_option
from relay.cli.times import Duration, Moment, shown_duration, shown_moment
from relay.investigation.ledger import Item, Ledger, Period, Standing, draw_up

if TYPE_CHECKING:
    from relay.investigation.cloud_logging import CloudLog
    from relay.investigation.entries import Entry
    from relay.onestock.changes import Change
    from relay.onestock.reconcile import OrderChanges

STILL_ON_THE_WAY = timedelta(hours=1)  # OneStock repeats a message for half an hour.
CLOCKS_DIFFER = timedelta(hours=1)  # A line may be a little older than its change.
ONESTOCKS_HISTORY, RECEIVERS_LINES = "OneStock's history", "the receiver's lines"
NAMED = 20  # Of what is not missing; --json names all.
CANONICAL_LINES = 'jsonPayload.line=("webhook" OR "delivery")'


@click.command(
    epilog=(
        "\b\nExamples:\n"
        "  relay ledger --since 2026-01-31 --until 2026-02-01\n"
        "  relay ledger --since 2d --lines receiver.log --lines worker.log\n"
        "  relay ledger --since 1d --publish-missing"
    )
)
@click.option("--since", type=Moment(), required=True, help="From when: 1d (ago), or 2026-01-31T09:30:00Z.")
@click.option("--until", type=Moment(), help="Until when; an hour ago if left out, since OneStock repeats a message "
              "for half an hour.")  # fmt: skip
@lines_option
@project_option
@click.option("--log-kept", type=Duration(), default="30d", show_default=True, help="How long Cloud Logging keeps your "
              "lines: before, every change would seem to be missing.")  # fmt: skip
@click.option(
    "--onestock/--no-onestock",
    "asks_onestock",
    default=None,
    help="Take the changes from OneStock's history of the orders, or from the receiver's lines. OneStock's history "
    "is the default where ONESTOCK_API_URL is set.",
)
@catching_up.placed_since_option
@click.option("--except-state", "except_states", multiple=True, metavar="STATE", help="Leave out changes to this "
              "state, if OneStock sends no webhook for them. May be given several times.")  # fmt: skip
@click.option("--date-tolerance", type=click.IntRange(0, 60), default=2, show_default=True,
              envvar="RECONCILE_DATE_TOLERANCE_SECONDS", show_envvar=True, help="How many seconds the date of an event "
              "may be from that of its change in OneStock's history.")  # fmt: skip
@catching_up.rate_option
@catching_up.connections_option
@click.option("--publish-missing", is_flag=True, help="Publish a synthetic event for each missing change, as reconcile "
              "does.")  # fmt: skip
@catching_up.forgotten_option
@catching_up.json_option
@catching_up.yes_option
def ledger(  # noqa: PLR0913 - one for each option
    *, since: datetime, until: datetime | None, files: Sequence[str], project: str | None, log_kept: float,
    asks_onestock: bool | None, placed_since: datetime | None, except_states: Sequence[str], date_tolerance: int,
    rate: float, connections: int, publish_missing: bool, forgotten_too: bool, as_json: bool, yes: bool,
) -> None:  # fmt: skip
    """Tell whether anything was lost: each change of an order, set against what was received and handled.

    \b
    handled      every handler has succeeded, or a later state of the order was handled (stale); for OneStock's own
                 event, for a repeat of it, or for a synthetic event of the same change (reconcile)
    dead letter  a handler has rejected it, nobody could read it, or Pub/Sub gave up; see: dead-letters list
    under way    published, and not handled yet
    unhandled    acknowledged, but no handler wants its event type
    missing      never arrived, was never answered 202, or Pub/Sub dropped it after 7 days

    A change counts once, however often it was sent, delivered or made up. Events of other event types, of which
    OneStock has no history, are counted beside. Exit status 1 if anything is missing, or if there is no order or no
    line to tell from.
    """  # noqa: D301 - \b keeps click from joining the lines
    now = datetime.now(UTC)
    period = Period(since=since, until=until or now - STILL_ON_THE_WAY)
    _check(period, now, log_kept=None if files else log_kept)
    if publish_missing and not forgotten_too:
        catching_up.check_is_remembered(since)
    if asks_onestock is None:
        asks_onestock = bool(os.environ.get("ONESTOCK_API_URL"))
    placed_since = placed_since or since - catching_up.OLDEST_OPEN_ORDER
    # OneStock first: the line of a change that it knows was written by the time that the log is read.
    history = _history(period, placed_since, rate=rate, connections=connections) if asks_onestock else None
    changes = [change for change in history.changes if change.new_state not in except_states] if history else None
    source = LineFiles(files) if files else _cloud_logging(project, since=since - CLOCKS_DIFFER)
    drawn_up = draw_up(source, period, changes=changes, tolerance_seconds=date_tolerance, now=now)
    for warning in (*(history.warnings if history else ()), *_warnings(drawn_up, str(source))):
        click.echo(warning, err=True)
    compared = f"{ONESTOCKS_HISTORY if history else RECEIVERS_LINES} against {source}"
    if not as_json:
        _print(drawn_up, f"{shown_moment(since)} to {shown_moment(period.until)}, {compared}")
    published = _publish(drawn_up.missing_changes, rate=rate, asks=not yes) if publish_missing else 0
    if as_json:
        click.echo(json.dumps({**_fields_of(drawn_up, period, compared), "published": published}, indent=2))
    is_blind = not drawn_up.events or (history is not None and not history.orders)
    sys.exit(1 if is_blind or drawn_up.with_standing(Standing.MISSING) else 0)


def _check(period: Period, now: datetime, *, log_kept: float | None) -> None:
    """Raise UsageError for an empty period, and for one of which Cloud Logging has forgotten a part."""
    if period.since >= period.until:
        raise click.UsageError(
            f"--since {shown_moment(period.since)} is not before --until {shown_moment(period.until)}; without --until "
            "the ledger ends an hour ago, since OneStock repeats a message for half an hour."
        )
    if log_kept is not None and (now - period.since).total_seconds() > log_kept:
        raise click.UsageError(
            f"--since {shown_moment(period.since)}: Cloud Logging keeps lines for {shown_duration(log_kept)}, and each "
            "change without a line would be named as missing. Name a later time, or say with --log-kept how long your "
            "lines are kept."
        )


# --- Where changes and lines come from --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """The changes that OneStock tells, and what may be wrong with them."""

    changes: "Sequence[Change]"
    orders: int
    """How many orders OneStock has found, changed or not."""
    warnings: Sequence[str]


def _history(period: Period, placed_since: datetime, *, rate: float, connections: int) -> _History:
    from relay.onestock.reconcile import Scope

    scope = Scope(
        since=int(period.since.timestamp()),
        until=int(period.until.timestamp()),
        placed_since=int(placed_since.timestamp()),
    )
    changes: list[Change] = []

    def keep(order: "OrderChanges") -> None:
        # The present state of an order without a history may be the one in which it was placed: no change.
        changes.extend(() if order.is_undated else order.changes)

    with catching_up.onestock_asked(keep, rate=rate, connections=connections) as reconciliation:
        *_, progress = catching_up.shown(reconciliation.run(scope), scope, label="Asking OneStock")
    warnings = [] if progress.orders else [catching_up.no_orders_text(scope)]
    if progress.undated_orders:
        warnings.append(
            f"OneStock's history tells no change of {progress.undated_orders} orders: the ledger leaves them out."
        )
    return _History(changes=changes, orders=progress.orders, warnings=warnings)


class _CloudLogging:
    """The canonical lines in Cloud Logging since a time."""

    def __init__(self, log: "CloudLog", since: datetime) -> None:
        self._log = log
        self._since = since

    def __iter__(self) -> "Iterator[Entry]":
        return self._log.entries(CANONICAL_LINES, since=self._since)

    def __str__(self) -> str:
        return f"{self._log} since {shown_moment(self._since)}"


def _cloud_logging(project: str | None, *, since: datetime) -> _CloudLogging:
    from relay.investigation.cloud_logging import CloudLog

    return _CloudLogging(CloudLog.connected(project), since)


# --- What is missing --------------------------------------------------------------------------------------------------


def _publish(missing: "Sequence[Change]", *, rate: float, asks: bool) -> int:
    """Publish a synthetic event for each missing change, and return for how many."""
    if not missing:
        return 0
    from relay.pubsub.pace import Pace

    events = catching_up.synthetic_events()
    if asks:
        click.confirm(f"Publish the missing changes ({len(missing)})?", abort=True, err=True)
    pace = Pace(rate)
    with click.progressbar(missing, label="Publishing", file=sys.stderr) as changes:
        for change in changes:
            pace.wait()
            events.publish([change])
    click.echo(f"{len(missing)} published. Draw the ledger up again once the worker has handled them.", err=True)
    return len(missing)


def _warnings(drawn_up: Ledger, source: str) -> "Iterator[str]":
    if not drawn_up.events:
        yield f"No line in {source} is about an event: are these the lines of the receiver and the worker?"
    if drawn_up.contentless:
        yield (
            f"The lines of {drawn_up.contentless} webhooks do not say which change they tell (LOG_CONTENT=off?): a "
            "missing change may be one of these."
        )
    unknown = sum(item.change is not None for item in drawn_up.others)
    if unknown:
        yield (
            f"{unknown} events tell changes that OneStock's history does not have. If as many are missing, the dates "
            "differ: see --date-tolerance."
        )
    lost = [item for item in drawn_up.others if item.standing is Standing.MISSING]
    if lost:
        yield (
            f"{len(lost)} missing events tell no change of an order: --publish-missing cannot make them from "
            "OneStock's history."
        )


# --- How it is shown --------------------------------------------------------------------------------------------------


def _print(drawn_up: Ledger, title: str) -> None:
    from tabulate import tabulate

    changes, others = _counts(drawn_up.changes), _counts(drawn_up.others)
    rows = [(name.replace("_", " "), changes[name], others[name]) for name in changes]
    click.echo(title)
    click.echo(tabulate(rows, headers=("", "changes of orders", "other events"), tablefmt="simple"))
    for standing in (Standing.UNDER_WAY, Standing.DEAD_LETTER, Standing.MISSING):
        items = drawn_up.with_standing(standing)
        named = items if standing is Standing.MISSING else items[:NAMED]
        for item in named:
            click.echo(f"{standing:<12}{item}")
        if len(items) > len(named):
            click.echo(f"{standing:<12}and {len(items) - len(named)} more; --json names all")


def _counts(items: Sequence[Item]) -> dict[str, int]:
    standings = Counter(item.standing for item in items)
    return {
        "known": len(items),
        "arrived": sum(item.is_acknowledged for item in items),
        **{standing.name.lower(): standings[standing] for standing in Standing},
    }


def _fields_of(drawn_up: Ledger, period: Period, compared: str) -> dict[str, object]:
    return {
        "compared": compared,
        "since": shown_moment(period.since),
        "until": shown_moment(period.until),
        "changes": _counts(drawn_up.changes),
        "other_events": _counts(drawn_up.others),
        **{
            standing.name.lower(): [_fields_of_item(item) for item in drawn_up.with_standing(standing)]
            for standing in (Standing.MISSING, Standing.DEAD_LETTER, Standing.UNDER_WAY)
        },
    }


def _fields_of_item(item: Item) -> dict[str, object]:
    change = item.change
    change_fields = {} if change is None else {"new_state": change.new_state, "date": change.date}
    return {
        "event_type": item.event_type,
        "order_id": item.order_id,
        **change_fields,
        "event_ids": list(item.event_ids),
        "whereabouts": item.whereabouts,
    }
