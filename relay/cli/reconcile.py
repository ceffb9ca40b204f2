"""`relay reconcile`: after an outage, publish the changes that OneStock's API tells."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from relay.cli import catching_up
from relay.cli.tables import counted, say
from relay.cli.times import Moment

if TYPE_CHECKING:
    from relay.onestock.reconcile import Progress, Scope


@click.command(epilog="\b\nExample:\n  relay reconcile --since 2026-01-31T09:30:00Z --dry-run")
@click.option("--since", type=Moment(), required=True, help="Changes from when: 2h (ago), or 2026-01-31T09:30:00Z.")
@click.option("--until", type=Moment(), help="Changes until when; now if left out.")
@catching_up.placed_since_option
@catching_up.rate_option
@catching_up.connections_option
@click.option("--by-history/--by-state", default=True, show_default=True, help="All changes of an order, each with its "
              "date, for one more call; or only its present state, dated by its last update.")  # fmt: skip
@catching_up.forgotten_option
@click.option("--dry-run", is_flag=True, help="Only count what would be published.")
@catching_up.json_option
@catching_up.yes_option
def reconcile(  # noqa: PLR0913 - one for each option
    *, since: datetime, until: datetime | None, placed_since: datetime | None, rate: float, connections: int,
    by_history: bool, forgotten_too: bool, dry_run: bool, as_json: bool, yes: bool,
) -> None:  # fmt: skip
    """Publish each order's changes since a time, as OneStock's API tells them, to the topic of the webhooks.

    The events are marked as synthetic. The worker handles a change once, whether its webhook arrived before, arrives
    later or never does. Run it once the webhooks are enabled again, from shortly before the first event that may be
    missing.
    """
    # Imported here, so that --help does not wait for Google's client.
    from relay.onestock.reconcile import Scope

    if not (dry_run or forgotten_too):
        catching_up.check_is_remembered(since)
    scope = Scope(
        since=int(since.timestamp()),
        until=int((until or datetime.now(UTC) + timedelta(days=1)).timestamp()),
        placed_since=int((placed_since or since - catching_up.OLDEST_OPEN_ORDER).timestamp()),
        by_history=by_history,
    )
    progress = _reconciled(scope, rate=rate, connections=connections, is_dry_run=dry_run, asks=not (dry_run or yes))
    if as_json:
        click.echo(json.dumps(_fields_of(progress, scope, is_dry_run=dry_run), indent=2))
    else:
        _print(progress, is_dry_run=dry_run)
    if not progress.orders:
        say(catching_up.no_orders_text(scope), err=True)
        sys.exit(1)


def _reconciled(scope: "Scope", *, rate: float, connections: int, is_dry_run: bool, asks: bool) -> "Progress":
    events = None if is_dry_run else catching_up.synthetic_events()
    with catching_up.onestock_asked(
        lambda order: events.publish(order.changes) if events else None, rate=rate, connections=connections
    ) as reconciliation:
        if asks:
            since = catching_up.shown_second(scope.since)
            click.confirm(f"Publish what has changed since {since}?", abort=True, err=True)
        return _followed(reconciliation.run(scope), scope)


def _followed(steps: "Iterator[Progress]", scope: "Scope") -> "Progress":
    """Run to the end and show how far it is; whatever ends it early, say how to go on."""
    reached = scope.placed_since
    # Cloud Run stops a job with SIGTERM, a person with Ctrl-C: both have to see how to go on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for progress in catching_up.shown(steps, scope, label="Catching up"):
            reached = progress.reached
    except BaseException:
        go_on = catching_up.shown_second(min(reached, int(time.time())))
        say(
            "Not finished. To go on, name these instead: "
            f"--since {catching_up.shown_second(scope.since)} --placed-since {go_on}",
            err=True,
        )
        raise
    return progress


def _fields_of(progress: "Progress", scope: "Scope", *, is_dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": is_dry_run,
        # The next run's --since: all changes before it were found, if OneStock's clock is right.
        "reached": catching_up.shown_second(min(progress.reached, scope.until)),
        "orders": progress.orders,
        "changed_orders": progress.changed_orders,
        "undated_orders": progress.undated_orders,
        "events": progress.changes,
        "states": dict(progress.states),
    }


def _print(progress: "Progress", *, is_dry_run: bool) -> None:
    for state, count in progress.states.most_common():
        click.echo(f"{count:>8}  {state}")
    say(
        f"{counted(progress.changes, 'event')} of {counted(progress.changed_orders, 'changed order')} "
        f"{'would be ' if is_dry_run else ''}"
        f"published; {counted(progress.orders, 'order')} looked at"
    )
    if progress.undated_orders:
        say(
            f"OneStock's history tells no change of {counted(progress.undated_orders, 'order')}. "
            "Their present state was taken, dated by the last update: the worker may handle again what did arrive.",
            err=True,
        )
