"""Commands in the folder of a local run work against it, and say so."""

import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path

import click

from relay.cli.tables import say
from relay.local import environment

# Each names a place: where one of them is set to another, the shell means another installation, and means it wholly.
_PLACES = (
    "GOOGLE_CLOUD_PROJECT",
    "PUBSUB_EMULATOR_HOST",
    "PUBSUB_TOPIC",
    "RECEIVER_URL",
    "ONESTOCK_API_URL",
    "PUBSUB_DEAD_LETTER_SUBSCRIPTION",
)


def use_local_run(
    arguments: Sequence[str], environ: MutableMapping[str, str] = os.environ, *, folder: Path | None = None
) -> None:
    """Add the local run's variables to `environ` if a run goes on here.

    They are not added where the shell or the command's arguments name another installation.
    """
    local = environment.running(folder or Path.cwd())
    if not local:
        return
    if any(argument.partition("=")[0] == "--project" for argument in arguments):
        click.echo("Not against the local run, since --project names another installation", err=True)
        return
    other = [name for name in _PLACES if environ.get(name) and environ[name] != local.get(name)]
    if other:
        say(f"Not against the local run, since {other[0]} is set: unset it to use .relay/local.env", err=True)
        return
    environ.update({name: value for name, value in local.items() if not environ.get(name)})
    click.echo("Against the local run (.relay/local.env)", err=True)
