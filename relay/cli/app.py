"""The command group, and what all commands share: a user's mistake is one line on stderr and exit status 2."""

import sys

import click

from relay.cli.run import run
from relay.errors import ConfigurationError


@click.group(epilog="Example: python -m relay run --events 20")
def relay() -> None:
    """Relay OneStock's webhooks to Google Cloud Pub/Sub."""


relay.add_command(run)


def main() -> None:
    """Run the command that the arguments name."""
    try:
        relay()
    except ConfigurationError as error:
        click.echo(error, err=True)
        sys.exit(2)
