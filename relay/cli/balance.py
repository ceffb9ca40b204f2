"""`relay balance`: whether each webhook of a time range became an event, and each event came to its end."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from relay import moments
from relay.cli.documents import print_json
from relay.cli.lines import LineFiles, lines_option, log_source, project_option
from relay.cli.tables import say, wrapped
from relay.cli.times import Moment, check_range
from relay.investigation.answers import balance_from, balance_json
from relay.investigation.balance import Balance
from relay.investigation.counts import Count
from relay.local.display import width_of

DEFAULT_RANGE = timedelta(hours=1)
_SHOWN_IDS = 5
_NAME_WIDTH = 50


@click.command(
    epilog=(
        "\b\nExamples:\n"
        "  relay balance --since 24h\n"
        "  relay balance --since 2026-01-31T09:00:00Z --until 2026-01-31T10:00:00Z --json\n"
        "  relay balance --lines receiver.log --lines worker.log"
    )
)
@lines_option
@project_option
@click.option("--since", type=Moment(), help="Where the range begins; 1h if left out.")
@click.option("--until", type=Moment(), help="Where the range ends; now if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def balance(
    *, files: Sequence[str], project: str | None, since: datetime | None, until: datetime | None, as_json: bool
) -> None:
    """Show whether everything that OneStock sent was published, delivered and handled.

    Counts the log lines of a time range: received is published plus refused; delivered is handled, duplicate, stale,
    unhandled, quarantined and nacked. Names what does not add up, with the events: those that were published and not
    delivered, or delivered and not acknowledged. Exit status 1 if something does not add up,
    or if no line is in the range.
    """
    until = until or datetime.now(UTC)
    since = since or until - DEFAULT_RANGE
    check_range(since, until)
    source = log_source(files, project)
    found = balance_from(source, since=since, until=until)
    if isinstance(source, LineFiles):
        source.check()
    if as_json:
        print_json(balance_json(source, found))
    elif not found.is_blind:
        _print(found, str(source))
    if found.is_blind:
        place = f"{source} from {moments.as_option(since)} to {moments.as_option(until)}"
        say(f"No line of the relay in {place}: nothing can be said", err=True)
    sys.exit(0 if found.adds_up and not found.is_blind else 1)


def _print(found: Balance, place: str) -> None:
    say(f"{moments.as_option(found.since)} to {moments.as_option(found.until)}, from {place}")
    for count in (found.webhooks, found.published_events, found.deliveries, found.delivered_events):
        click.echo()
        _print_count(count, indent=0)
    click.echo()
    if found.adds_up:
        click.echo("It adds up.")
    for gap in found.gaps:
        click.echo(click.style(wrapped(f"{gap.text}.", width=width_of(sys.stdout)), fg="red"))
        for event_id in gap.event_ids[:_SHOWN_IDS]:
            click.echo(f"  $ relay trace {event_id[:12]}")
        if gap.count > _SHOWN_IDS and gap.event_ids:
            click.echo(f"  and {gap.count - _SHOWN_IDS:,} more")


def _print_count(count: Count, *, indent: int) -> None:
    width = None if width_of(sys.stdout) is None else _NAME_WIDTH
    first, *further = wrapped(count.name, width=width, indent=indent + 2, first=indent).splitlines()
    click.echo("\n".join([f"{first:<{_NAME_WIDTH}} {count.count:>9,}", *further]))
    for part in count.parts:
        if part.count:
            _print_count(part, indent=indent + 2)
