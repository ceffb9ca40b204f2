"""`relay run`: everything on this machine, with a simulated OneStock."""

import sys
from pathlib import Path

import click

from relay.cli.times import Rate
from relay.topology import MAX_DELIVERY_ATTEMPTS


@click.command(epilog="\b\nExamples:\n  relay run --rate 0\n  relay run --quiet --events 20")
@click.option("--receiver-port", envvar="RECEIVER_PORT", show_envvar=True, default=8080, show_default=True)
@click.option("--worker-port", envvar="WORKER_PORT", show_envvar=True, default=8081, show_default=True)
@click.option("--emulator-port", envvar="EMULATOR_PORT", show_envvar=True, default=8085, show_default=True)
@click.option("--console-port", envvar="CONSOLE_PORT", show_envvar=True, default=8070, show_default=True)
@click.option("--rate", type=Rate(), default=1.0, show_default=True, help="Events a second; 0 sends nothing by itself.")
@click.option(
    "--events", default=0, type=click.IntRange(min=0), help="Stop once this many are handled; 0 runs until Ctrl-C."
)
@click.option(
    "--attempts",
    default=10,
    show_default=True,
    type=click.IntRange(min=1, max=MAX_DELIVERY_ATTEMPTS),
    help="How often an event is delivered before it becomes a dead letter.",
)
@click.option("--quiet", is_flag=True, help="Show what goes wrong and what handlers print, and not what goes well.")
def run(*, attempts: int, rate: float, quiet: bool, **more: int) -> None:
    """Run emulator, receiver, worker and a OneStock that sends signed events; show each one's way."""
    # Imported here, so that --help does not wait for Google's client.
    from relay.local.runner import LocalRun, Wishes

    wishes = Wishes(events_per_second=rate, delivery_attempts=attempts, is_quiet=quiet, **more)
    sys.exit(LocalRun(wishes, folder=Path.cwd()).run())
