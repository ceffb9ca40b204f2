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

from relay import moments
from relay.cli import catching_up
from relay.cli.lines import LineFiles, files_to_read, lines_option, project_option
from relay.cli.tables import counted, say, wrapped
from relay.cli.times import Duration, Moment, shown_duration
from relay.errors import ConfigurationError
from relay.investigation.ledger import Item, Ledger, Period, Standing, draw_up
from relay.investigation.search import LineFilter
from relay.local.display import width_of

if TYPE_CHECKING:
    from relay.investigation.cloud_logging import CloudLog
    from relay.investigation.entries import Entry
    from relay.onestock.changes import Change
    from relay.onestock.reconcile import OrderChanges

STILL_ON_THE_WAY = timedelta(hours=1)  # OneStock repeats a message for half an hour.
CLOCKS_DIFFER = timedelta(hours=1)  # A line may be a little older than its change.
ONESTOCKS_HISTORY, RECEIVERS_LINES = "OneStock's history", "the receiver's lines"
SHORTEST = timedelta(seconds=1)  # `--since 1h` is a moment before an hour ago, which is where the ledger ends.
NAMED_ORDERS = 5  # Of those that OneStock does not know.
NAMED = 20  # Of what is not missing; --json names all.


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
              "for half an hour; of a local run now.")  # fmt: skip
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
    of_files = files_to_read(files, project)
    is_local = of_files is not None and of_files.is_of_local_run
    period = Period(since=since, until=until or (now if is_local else now - STILL_ON_THE_WAY))
    _check(period, now, log_kept=None if of_files else log_kept)
    if publish_missing and not forgotten_too:
        catching_up.check_is_remembered(since)
    if asks_onestock is None:
        asks_onestock = bool(os.environ.get("ONESTOCK_API_URL"))
    placed_since = placed_since or since - catching_up.OLDEST_OPEN_ORDER
    # OneStock first: the line of a change that it knows was written by the time that the log is read.
    history = _history(period, placed_since, rate=rate, connections=connections) if asks_onestock else None
    changes = [change for change in history.changes if change.new_state not in except_states] if history else None
    source = of_files or _cloud_logging(project, since=since - CLOCKS_DIFFER)
    drawn_up = draw_up(source, period, changes=changes, tolerance_seconds=date_tolerance, now=now)
    if isinstance(source, LineFiles):
        source.check()
    for warning in (*(history.warnings if history else ()), *_warnings(drawn_up, str(source))):
        say(warning, err=True)
    compared = f"{ONESTOCKS_HISTORY if history else RECEIVERS_LINES} against {source}"
    if not as_json:
        _print(drawn_up, f"{moments.as_option(since)} to {moments.as_option(period.until)}, {compared}")
    published = _publish(drawn_up.missing_changes, rate=rate, asks=not yes) if publish_missing else 0
    if as_json:
        click.echo(json.dumps({**_fields_of(drawn_up, period, compared), "published": published}, indent=2))
    is_blind = not drawn_up.events or (history is not None and not history.orders)
    sys.exit(1 if is_blind or drawn_up.with_standing(Standing.MISSING) else 0)


def _check(period: Period, now: datetime, *, log_kept: float | None) -> None:
    """Raise ConfigurationError for an empty period, UsageError for one of which Cloud Logging has forgotten a part."""
    if period.until - period.since < SHORTEST:
        raise ConfigurationError(
            f"--since {moments.as_option(period.since)} is not before --until {moments.as_option(period.until)}; "
            "without --until the ledger ends an hour ago, since OneStock repeats a message for half an hour. For a "
            "range up to now: --until now"
        )
    if log_kept is not None and (now - period.since).total_seconds() > log_kept:
        raise click.UsageError(
            f"--since {moments.as_option(period.since)}: Cloud Logging keeps lines for {shown_duration(log_kept)}, "
            "and each change without a line would be named as missing. Name a later time, or say with "
            "--log-kept how long your lines are kept."
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
            f"OneStock's history tells no change of {counted(progress.undated_orders, 'order')}: the ledger leaves "
            "them out."
        )
    return _History(changes=changes, orders=progress.orders, warnings=warnings)


class _CloudLogging:
    """The canonical lines in Cloud Logging since a time."""

    def __init__(self, log: "CloudLog", since: datetime) -> None:
        self._log = log
        self._since = since

    def __iter__(self) -> "Iterator[Entry]":
        return self._log.lines(LineFilter(), since=self._since)

    def __str__(self) -> str:
        return f"{self._log} since {moments.as_option(self._since)}"


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
    say(f"{len(missing)} published. Draw the ledger up again once the worker has handled them.", err=True)
    return len(missing)


def _warnings(drawn_up: Ledger, source: str) -> "Iterator[str]":
    if not drawn_up.events:
        yield f"No line in {source} is about an event: nothing can be said. Are these the relay's lines?"
    if drawn_up.contentless:
        yield (
            f"The lines of {drawn_up.contentless} webhooks do not say which change they tell (LOG_CONTENT=off?): a "
            "missing change may be one of these."
        )
    unknown = [item for item in drawn_up.others if item.change is not None]
    if unknown:
        orders = ", ".join(list(dict.fromkeys(item.order_id for item in unknown))[:NAMED_ORDERS])
        told = "1 event tells a change" if len(unknown) == 1 else f"{len(unknown):,} events tell changes"
        yield (
            f"{told} that OneStock's history does not have (order {orders}). If as many are missing, the dates "
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
    width = width_of(sys.stdout)
    click.echo(wrapped(title, width=width))
    click.echo(tabulate(rows, headers=("", "changes of orders", "other events"), tablefmt="simple"))
    for standing in (Standing.UNDER_WAY, Standing.DEAD_LETTER, Standing.MISSING):
        items = drawn_up.with_standing(standing)
        named = items if standing is Standing.MISSING else items[:NAMED]
        for item in named:
            click.echo(wrapped(f"{standing:<12}{str(item).removesuffix(f': {standing}')}", width=width, indent=12))
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
        "since": moments.as_option(period.since),
        "until": moments.as_option(period.until),
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
