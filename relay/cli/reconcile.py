"""`python -m relay reconcile`: after an outage, publish what OneStock says has happened meanwhile."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from relay.cli.times import Moment
from relay.settings.commands import TopicSettings
from relay.settings.onestock import OneStockSettings

if TYPE_CHECKING:
    from relay.onestock.reconcile import Progress, Reconciliation, Wanted

OLDEST_OPEN_ORDER = timedelta(days=30)
BUDGET_SECONDS = 180  # What waits for nobody may wait for OneStock to have time.
SECONDS_BETWEEN_LINES = 10


@click.command(epilog="Example: python -m relay reconcile --since 2026-01-31T09:30:00Z --dry-run")
@click.option("--since", type=Moment(), required=True, help="Changes from when: 2h (ago), or 2026-01-31T09:30:00Z.")
@click.option("--until", type=Moment(), help="Changes until when; now if left out.")
@click.option("--placed-since", type=Moment(), help="Only orders placed since then; 30 days before --since.")
@click.option("--rate", default=10.0, show_default=True, help="Changed orders a second; 0 is as fast as it goes.")
@click.option("--connections", default=4, show_default=True, type=click.IntRange(1, 16), help="Orders at once.")
@click.option("--by-history/--by-state", default=True, show_default=True, help="All changes of an order, each with its "
              "date, for one more call; or only its present state, dated by its last update.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only count what would be published.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reconcile(  # noqa: PLR0913 - one for each option
    *, since: datetime, until: datetime | None, placed_since: datetime | None, rate: float, connections: int,
    by_history: bool, dry_run: bool, as_json: bool, yes: bool,
) -> None:  # fmt: skip
    """Publish each order's changes since a time, as OneStock's API tells them, to the topic of the webhooks.

    The events are marked as synthetic. A change whose event did arrive, or arrives later, is not handled twice. Run it
    once the webhooks are enabled again, from shortly before the first event that may be missing.
    """
    # Imported here, so that --help does not wait for Google's client.
    from relay.onestock.reconcile import Wanted

    now = datetime.now(UTC)
    wanted = Wanted(
        since=int(since.timestamp()),
        until=int((until or now + timedelta(days=1)).timestamp()),
        placed_since=int((placed_since or since - OLDEST_OPEN_ORDER).timestamp()),
        by_history=by_history,
    )
    with _reconciliation(rate=rate, connections=connections, is_dry_run=dry_run) as reconciliation:
        if not (dry_run or yes):
            click.confirm(f"Publish what has changed since {_shown(wanted.since)}?", abort=True, err=True)
        progress = _followed(reconciliation.run(wanted), wanted, now=now)
    if as_json:
        click.echo(json.dumps(_fields_of(progress, is_dry_run=dry_run), indent=2))
    else:
        _print(progress, is_dry_run=dry_run)
    if not progress.orders:
        click.echo(
            f"OneStock knows no order placed since {_shown(wanted.placed_since)}: if that cannot be, set "
            "ONESTOCK_API_DATES to the other way of writing dates.",
            err=True,
        )
        sys.exit(1)


@contextmanager
def _reconciliation(*, rate: float, connections: int, is_dry_run: bool) -> "Iterator[Reconciliation]":
    from relay.onestock import OneStock
    from relay.onestock.reconcile import Reconciliation
    from relay.pubsub import publisher
    from relay.pubsub.pace import Pace

    settings = OneStockSettings.from_environ(os.environ).model_copy(update={"budget_seconds": BUDGET_SECONDS})
    events = None
    if not is_dry_run:
        topic = TopicSettings.from_environ(os.environ)
        events = publisher.connected(topic.topic_path, topic)
    onestock = OneStock.connected(settings)
    try:
        yield Reconciliation(onestock, events, pace=Pace(rate), connections=connections, now=lambda: datetime.now(UTC))
    finally:
        onestock.close()


def _followed(steps: "Iterator[Progress]", wanted: "Wanted", *, now: datetime) -> "Progress":
    """Run to the end and show how far it is; whatever ends it early, say how to go on."""
    reached = wanted.placed_since
    # Cloud Run stops a job with SIGTERM, a person with Ctrl-C: both are told where to go on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for progress in _with_bar(steps, wanted, now=now) if sys.stderr.isatty() else _with_lines(steps):
            reached = progress.reached
    except BaseException:
        click.echo(
            f"Not finished. To go on, name these instead: --since {_shown(wanted.since)} --placed-since "
            f"{_shown(min(reached, int(time.time())))}",
            err=True,
        )
        raise
    return progress


def _with_bar(steps: "Iterator[Progress]", wanted: "Wanted", *, now: datetime) -> "Iterator[Progress]":
    length = max(1, int(now.timestamp()) - wanted.placed_since)
    shown = wanted.placed_since
    with click.progressbar(length=length, label="Catching up", file=sys.stderr) as bar:
        for progress in steps:
            bar.label = _position(progress)
            bar.update(progress.reached - shown)
            shown = progress.reached
            yield progress


def _with_lines(steps: "Iterator[Progress]") -> "Iterator[Progress]":
    next_line_at = time.monotonic() + SECONDS_BETWEEN_LINES
    for progress in steps:
        if time.monotonic() >= next_line_at:
            click.echo(_position(progress), err=True)
            next_line_at = time.monotonic() + SECONDS_BETWEEN_LINES
        yield progress


def _position(progress: "Progress") -> str:
    return (
        f"orders placed before {_shown(progress.reached)}: {progress.changed_orders} changed, {progress.events} events"
    )


def _fields_of(progress: "Progress", *, is_dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": is_dry_run,
        "reached": _shown(progress.reached),
        "orders": progress.orders,
        "changed_orders": progress.changed_orders,
        "undated_orders": progress.undated_orders,
        "events": progress.events,
        "states": dict(progress.states),
    }


def _print(progress: "Progress", *, is_dry_run: bool) -> None:
    for state, count in progress.states.most_common():
        click.echo(f"{count:>8}  {state}")
    click.echo(
        f"{progress.events} events of {progress.changed_orders} changed orders {'would be ' if is_dry_run else ''}"
        f"published; {progress.orders} orders looked at"
    )
    if progress.undated_orders:
        click.echo(
            f"Of {progress.undated_orders} orders only the present state is known, not when each came into it: what "
            "did arrive may be handled again.",
            err=True,
        )


def _shown(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
