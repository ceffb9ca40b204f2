"""`python -m relay replay`: run the handlers once more for what was published since a time."""

import os
import sys
from collections import Counter
from datetime import UTC, datetime

import click

from relay.cli.times import Moment
from relay.settings.commands import ToolSettings


@click.command(epilog="Example: python -m relay replay --since 2h --event-type order_state_changed --dry-run")
@click.option("--since", type=Moment(), required=True, help="From when: 2h (ago), or 2026-01-31T09:30:00Z.")
@click.option("--until", type=Moment(), help="Until when; now if left out.")
@click.option("--event-type", help="Only this event type.")
@click.option("--order", "order_id", help="Only this order id.")
@click.option("--rate", default=50.0, show_default=True, help="Events a second; 0 is as fast as it goes.")
@click.option("--dry-run", is_flag=True, help="Only count what would be replayed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def replay(
    *,
    since: datetime,
    until: datetime | None,
    event_type: str | None,
    order_id: str | None,
    rate: float,
    dry_run: bool,
    yes: bool,
) -> None:
    """Run all handlers again for retained events, those included that have handled them.

    The events come from the topic's retained messages, each once, and go back to the topic in a new generation.
    """
    # Imported here, so that --help does not wait for Google's client.
    from relay.pubsub import publisher
    from relay.pubsub import replay as replaying
    from relay.pubsub.pace import Pace

    settings = ToolSettings.from_environ(os.environ)
    now = datetime.now(UTC)
    wanted = replaying.Range(since=since, until=until or now, event_type=event_type, order_id=order_id)
    replaying.check_retention(settings.topic_path, since, now)
    if not (dry_run or yes):
        click.confirm(f"Run all handlers again for events since {since:%Y-%m-%d %H:%M:%S %Z}?", abort=True, err=True)
    with replaying.retained(settings.topic_path, wanted) as found:
        events = found
        if not dry_run:
            topic = publisher.connected(settings.topic_path, settings)
            events = replaying.replay(found, topic, pace=Pace(rate), started_at=now)
        label = "Counting" if dry_run else "Replaying"
        with click.progressbar(events, label=label, show_pos=True, file=sys.stderr) as progress:
            counts = Counter(event.delivery.event_type for event in progress)
    for name, count in sorted(counts.items()):
        click.echo(f"{count:>8}  {name}")
    click.echo(f"{counts.total()} events {'would be ' if dry_run else ''}replayed")
