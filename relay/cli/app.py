"""The command group. Each command's error is one line on standard error."""

import sys

import click

from relay.cli.dead_letters import dead_letters
from relay.cli.doctor import doctor
from relay.cli.ledger import ledger
from relay.cli.pause import pause, resume
from relay.cli.reconcile import reconcile
from relay.cli.replay import replay
from relay.cli.run import run
from relay.cli.send import send
from relay.cli.signature import signature
from relay.cli.trace import trace
from relay.cli.webhooks import webhooks
from relay.errors import ConfigurationError, RelayError


@click.group(epilog="Example: python -m relay run --events 20")
def relay() -> None:
    """Relay OneStock's webhooks to Google Cloud Pub/Sub."""


for command in (run, send, signature, dead_letters, replay, reconcile, ledger, trace, doctor, pause, resume, webhooks):
    relay.add_command(command)


def main() -> None:
    """Run the command that the arguments name; exit status 1 for a failure, 2 for wrong use or configuration."""
    try:
        relay()
    except RelayError as error:
        click.echo(error, err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
