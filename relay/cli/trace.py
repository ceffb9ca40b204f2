"""`relay trace`: what happened to an event, or to all events of an order."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click

from relay.cli.lines import LineFiles, lines_option, project_option
from relay.cli.times import Moment, shown_moment
from relay.investigation.history import History, histories

DEFAULT_DAYS = 7
_EVENT_ID = re.compile(r"[0-9a-f]{6,64}", re.ASCII)


@click.command(
    epilog=(
        "\b\nExamples:\n"
        "  relay trace 172843227e45\n"
        "  relay trace --order ORD-1001 --since 30d\n"
        "  relay trace 172843227e45 --lines receiver.log --lines worker.log"
    )
)
@click.argument("event_id", required=False)
@click.option("--order", "order_id", help="All events of this order.")
@lines_option
@project_option
@click.option("--since", type=Moment(), help=f"How far back Cloud Logging is searched; {DEFAULT_DAYS} days.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def trace(
    *,
    event_id: str | None,
    order_id: str | None,
    files: Sequence[str],
    project: str | None,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Show an event's way: received, published, each delivery, each handler, and where it is now.

    EVENT_ID may be its first characters, at least 6. The log lines come from Cloud Logging, or from the files that
    --lines names. Exit status 1 if no log line is about the event or the order.
    """
    if (event_id is None) == (order_id is None):
        raise click.UsageError("Name an event id, or --order.")
    if event_id is not None and not _EVENT_ID.fullmatch(event_id):
        raise click.UsageError("An event id has 64 hex digits; give at least the first 6.")
    since = since or datetime.now(UTC) - timedelta(days=DEFAULT_DAYS)
    if files:
        found, place = _in_files(files, event_id=event_id, order_id=order_id)
    else:
        found, place = _in_cloud_logging(project, since, event_id=event_id, order_id=order_id)
    if as_json:
        click.echo(json.dumps([asdict(history) for history in found], default=datetime.isoformat, indent=2))
    else:
        for history in found:
            _print(history)
    if not found:
        click.echo(f"No log line in {place} is about {event_id or order_id}.", err=True)
        sys.exit(1)


def _in_files(files: Sequence[str], *, event_id: str | None, order_id: str | None) -> tuple[list[History], str]:
    """Return what the files tell, and the text that says where that was read."""
    lines = LineFiles(files)
    return histories(lines, event_id=event_id, order_id=order_id), str(lines)


def _in_cloud_logging(
    project: str | None, since: datetime, *, event_id: str | None, order_id: str | None
) -> tuple[list[History], str]:
    """Return what Cloud Logging tells, and the text that says where that was read."""
    from relay.investigation.cloud_logging import CloudLog

    log = CloudLog.connected(project)
    about = f'labels.event_id=~"^{event_id}"' if event_id else f"labels.order_id={json.dumps(order_id)}"
    found = histories(log.entries(about, since=since), event_id=event_id, order_id=order_id)
    return found, f"{log} since {shown_moment(since)}"


def _print(history: History) -> None:
    of_order = f" of order {history.order_id}" if history.order_id else ""
    click.echo(f"event {history.event_id}: {history.event_type}{of_order}")
    for step in history.steps:
        click.echo(f"  {step.time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"  {step.name:<10}{step.text}")
    click.echo(f"  now: {history.whereabouts}\n")
