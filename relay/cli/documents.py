"""A command's answer for scripts: with --json, one JSON document on standard output and the rest on standard error."""

import json
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def json_option(shape: str) -> Callable[[Command], Command]:
    """Return the option --json of a command whose document looks like `shape`, which --help shows."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print JSON for scripts: {shape}.")


def print_json(document: Any) -> None:
    """Print the one document of a command."""
    click.echo(json.dumps(document, indent=2))
