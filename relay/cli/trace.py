"""`python -m relay trace`: what happened to an event, or to all events of an order."""

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from relay.cli.times import Moment
from relay.errors import ConfigurationError
from relay.investigation.history import Entry, History, histories, read_entries

if TYPE_CHECKING:
    from google.cloud.logging import Client

DEFAULT_DAYS = 7
_EVENT_ID = re.compile(r"[0-9a-f]{6,64}", re.ASCII)


@click.command(
    epilog="Examples: python -m relay trace 172843227e45 < worker.log   python -m relay trace --order ORD-1001"
)
@click.argument("event_id", required=False)
@click.option("--order", "order_id", help="All events of this order.")
@click.option("--project", envvar="GOOGLE_CLOUD_PROJECT", help="The Google Cloud project whose log is read.")
@click.option("--since", type=Moment(), help=f"How far back Cloud Logging is searched; {DEFAULT_DAYS} days.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def trace(
    *, event_id: str | None, order_id: str | None, project: str | None, since: datetime | None, as_json: bool
) -> None:
    """Show an event's way: received, published, each delivery, each handler, and where it is now.

    EVENT_ID may be its first characters. The log lines are read from standard input if something is piped in (the
    services' output, or what `gcloud logging read --format=json` prints), else from Cloud Logging.
    """
    if (event_id is None) == (order_id is None):
        raise click.UsageError("Name an event id, or --order.")
    if event_id is not None and not _EVENT_ID.fullmatch(event_id):
        raise click.UsageError("An event id has 64 hex digits; give at least the first 6.")
    if sys.stdin.isatty():
        since = since or datetime.now(UTC) - timedelta(days=DEFAULT_DAYS)
        entries = from_cloud_logging(_client(project), event_id=event_id, order_id=order_id, since=since)
    else:
        entries = read_entries(sys.stdin.read())
    found = histories(entries, event_id=event_id, order_id=order_id)
    if as_json:
        click.echo(json.dumps([asdict(history) for history in found], default=datetime.isoformat, indent=2))
    else:
        for history in found:
            _print(history)
    if not found:
        click.echo(f"No log line is about {event_id or order_id}.", err=True)
        sys.exit(1)


def from_cloud_logging(
    client: "Client", *, event_id: str | None, order_id: str | None, since: datetime
) -> Iterator[Entry]:
    """Yield the entries in Cloud Logging about an event (an id, or its beginning) or an order."""
    about = f'labels.event_id=~"^{event_id}"' if event_id else f"labels.order_id={json.dumps(order_id)}"
    for found in client.list_entries(filter_=f'{about} AND timestamp>="{since.isoformat()}"', order_by="timestamp asc"):
        fields: dict[str, Any] = found.payload if isinstance(found.payload, dict) else {"message": str(found.payload)}
        yield Entry(
            time=found.timestamp, fields=fields, labels=found.labels or {}, severity=found.severity or "DEFAULT"
        )


def _client(project: str | None) -> "Client":
    # Imported here, so that reading a file does not wait for it.
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud.logging import Client

    try:
        return Client(project=project or os.environ.get("GOOGLE_CLOUD_PROJECT"))
    except (DefaultCredentialsError, OSError) as error:
        raise ConfigurationError(
            f"Cloud Logging cannot be read: {error}. Log in (gcloud auth application-default login), set "
            "GOOGLE_CLOUD_PROJECT, or pipe log lines in"
        ) from error


def _print(history: History) -> None:
    of_order = f" of order {history.order_id}" if history.order_id else ""
    click.echo(f"event {history.event_id}: {history.event_type}{of_order}")
    for step in history.steps:
        click.echo(f"  {step.time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"  {step.name:<10}{step.text}")
    click.echo(f"  now: {history.verdict}\n")
