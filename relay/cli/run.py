"""`python -m relay run`: everything on this machine, with a simulated OneStock."""

import sys

import click


@click.command()
@click.option("--receiver-port", envvar="RECEIVER_PORT", default=8080, show_default=True)
@click.option("--worker-port", envvar="WORKER_PORT", default=8081, show_default=True)
@click.option("--emulator-port", envvar="EMULATOR_PORT", default=8085, show_default=True)
@click.option("--rate", default=1.0, show_default=True, help="Events a second.")
@click.option("--events", default=0, help="Stop once this many are handled; 0 runs until Ctrl-C.")
def run(*, receiver_port: int, worker_port: int, emulator_port: int, rate: float, events: int) -> None:
    """Run emulator, receiver, worker and a OneStock that sends signed events; show each one's way."""
    # Imported here, so that --help does not wait for Google's client.
    from relay.local.runner import LocalRun

    local = LocalRun(
        receiver_port=receiver_port,
        worker_port=worker_port,
        emulator_port=emulator_port,
        events_per_second=rate,
        events=events,
    )
    sys.exit(local.run())
