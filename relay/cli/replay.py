"""`relay replay`: run the handlers once more for what was published since a time."""

import json
import os
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from relay import moments
from relay.cli.interrupts import stopping
from relay.cli.tables import counted
from relay.cli.times import Moment, Rate
from relay.errors import ConfigurationError, PublishError
from relay.settings.commands import LOCAL_RUN_URL, TopicSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.pubsub.pull import Pulled


@click.command(epilog="\b\nExample:\n  relay replay --since 2h --event-type order_state_changed --dry-run")
@click.option("--since", type=Moment(), required=True, help="From when: 2h (ago), or 2026-01-31T09:30:00Z.")
@click.option("--until", type=Moment(), help="Until when; now if left out.")
@click.option("--event-type", help="Only this event type.")
@click.option("--order", "order_id", help="Only this order id.")
@click.option(
    "--rate",
    type=Rate(),
    default=50.0,
    show_default=True,
    help="Events a second; 0 is as fast as it goes.",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be replayed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def replay(
    *,
    since: datetime,
    until: datetime | None,
    event_type: str | None,
    order_id: str | None,
    rate: float,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Run all handlers again for retained events, also those handlers that have succeeded.

    The command reads the topic's retained messages, takes each event once, and publishes it to the topic again in a
    new generation. Ctrl-C ends the replay after the publish that is under way, and the command says what it has done.
    """
    # Imported here, so that --help does not wait for Google's client.
    from relay.pubsub import publisher
    from relay.pubsub import replay as replaying
    from relay.pubsub.pace import Pace

    if LOCAL_RUN_URL in os.environ:
        raise ConfigurationError(replaying.EMULATOR_CANNOT_REPLAY)
    settings = TopicSettings.from_environ(os.environ)
    now = datetime.now(UTC)
    wanted = replaying.Range(since=since, until=until or now, event_type=event_type, order_id=order_id)
    replaying.check_retention(settings.topic_path, since, now)
    if not (dry_run or yes):
        click.confirm(f"Run all handlers again for events since {moments.as_option(since)}?", abort=True, err=True)
    with replaying.retained(settings.topic_path, wanted) as found:
        events = found
        if not dry_run:
            topic = publisher.connected(settings.topic_path, settings)
            events = replaying.replay(found, topic, pace=Pace(rate), started_at=now)
        counts, broke_off = _count(events, label="Counting" if dry_run else "Replaying")
    _print(counts, broke_off=broke_off, dry_run=dry_run, as_json=as_json)
    sys.exit(1 if broke_off else 0)


def _count(events: "Iterable[Pulled]", *, label: str) -> tuple[Counter[str], str | None]:
    """Take the events to the end; return how many of each event type there were, and why there may be more."""
    counts: Counter[str] = Counter()
    interrupted = threading.Event()
    try:
        with (
            stopping(interrupted.set),
            click.progressbar(events, label=label, show_pos=True, file=sys.stderr) as progress,
        ):
            for event in progress:
                counts[event.delivery.event_type] += 1
                if interrupted.is_set():
                    return counts, "the command was stopped"
    except PublishError as error:
        return counts, str(error)
    return counts, None


def _print(counts: Counter[str], *, broke_off: str | None, dry_run: bool, as_json: bool) -> None:
    done = "would_be_replayed" if dry_run else "replayed"
    if as_json:
        click.echo(json.dumps({done: counts.total(), "event_types": counts, "broke_off": broke_off}, indent=2))
        return
    for name, count in sorted(counts.items()):
        click.echo(f"{count:>8}  {name}")
    click.echo(f"{counted(counts.total(), 'event')} {done.replace('_', ' ')}")
    if broke_off:
        click.echo(f"There may be more events in the range: {broke_off}", err=True)
