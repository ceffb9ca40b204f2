"""What `reconcile` and `ledger` share: options, OneStock's API, synthetic events, and how far a run is."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from relay import moments
from relay.cli.onestock_site import FIRST_CONTACT_SECONDS
from relay.cli.times import Moment, Rate, shown_duration
from relay.errors import ConfigurationError
from relay.settings.commands import TopicSettings
from relay.settings.onestock import OneStockSettings
from relay.topology import LAST_RETURN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.onestock.reconcile import OrderChanges, Progress, Reconciliation, Scope, SyntheticEvents

OLDEST_OPEN_ORDER = timedelta(days=30)
CALL_BUDGET_SECONDS = 180  # Of one call with its repeats: a command can wait longer for OneStock than a handler.
SECONDS_BETWEEN_LINES = 10

placed_since_option = click.option(
    "--placed-since", type=Moment(), help="Only orders placed since then; 30 days before --since."
)
rate_option = click.option(
    "--rate", type=Rate(), default=10.0, show_default=True, help="Changed orders a second; 0 is as fast as it goes."
)
connections_option = click.option(
    "--connections", default=4, show_default=True, type=click.IntRange(1, 16), help="Orders at once."
)
forgotten_option = click.option(
    "--forgotten-too",
    is_flag=True,
    help="Publish also changes that are so old that the worker has forgotten whether it handled them: it handles them "
    "again.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@contextmanager
def onestock_asked(
    hand_over: "Callable[[OrderChanges], None]", *, rate: float, connections: int
) -> "Iterator[Reconciliation]":
    """Give a run over OneStock's orders that hands over what has changed. Raises ConfigurationError."""
    # Imported here, so that --help does not wait for Google's client.
    from relay.onestock import OneStock
    from relay.onestock.reconcile import Reconciliation
    from relay.pubsub.pace import Pace

    settings = OneStockSettings.from_environ(os.environ).model_copy(update={"budget_seconds": CALL_BUDGET_SECONDS})
    with closing(OneStock.connected(settings, first_contact_seconds=FIRST_CONTACT_SECONDS)) as onestock:
        yield Reconciliation(onestock, hand_over, pace=Pace(rate), connections=connections, now=_now)


def synthetic_events() -> "SyntheticEvents":
    """Return what publishes to the topic of the settings. Raises ConfigurationError and PubSubError."""
    from relay.onestock.reconcile import SyntheticEvents
    from relay.pubsub import publisher
    from relay.pubsub.calls import check_topic

    topic = TopicSettings.from_environ(os.environ)
    check_topic(topic.topic_path)
    return SyntheticEvents(publisher.connected(topic.topic_path, topic), now=_now)


def check_is_remembered(since: datetime) -> None:
    """Raise ConfigurationError if the worker may forget a run for a change since then before an event of it comes."""
    if (_now() - since).total_seconds() > LAST_RETURN_SECONDS:
        limit = shown_duration(LAST_RETURN_SECONDS)
        raise ConfigurationError(
            f"--since {moments.as_option(since)}: the worker forgets after a time which changes it has handled, and "
            f"would handle a change again that is older than {limit}. Name a time within {limit}, or add "
            "--forgotten-too"
        )


def shown(steps: "Iterator[Progress]", scope: "Scope", *, label: str) -> "Iterator[Progress]":
    """Yield the steps, and show on standard error how far they are: as a bar on a terminal, else as a line at times."""
    return _with_bar(steps, scope, label=label) if sys.stderr.isatty() else _with_lines(steps)


def shown_second(unix_seconds: int) -> str:
    """Return a moment as an option of a command takes it."""
    return moments.as_option(datetime.fromtimestamp(unix_seconds, UTC))


def no_orders_text(scope: "Scope") -> str:
    """Return what to do if OneStock finds no order at all."""
    return (
        f"OneStock knows no order placed since {shown_second(scope.placed_since)}: if that cannot be, set "
        "ONESTOCK_API_DATES to the other way of writing dates."
    )


def _with_bar(steps: "Iterator[Progress]", scope: "Scope", *, label: str) -> "Iterator[Progress]":
    shown_until = scope.placed_since
    with click.progressbar(length=max(1, int(time.time()) - shown_until), label=label, file=sys.stderr) as bar:
        for progress in steps:
            bar.label = _position(progress)
            bar.update(progress.reached - shown_until)
            shown_until = progress.reached
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
        f"orders placed before {shown_second(progress.reached)}: {progress.changed_orders} changed, "
        f"{progress.changes} changes"
    )


def _now() -> datetime:
    return datetime.now(UTC)
