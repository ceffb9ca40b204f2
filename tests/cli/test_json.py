"""Every command answers scripts, too: --json prints one JSON document on standard output."""

from collections.abc import Iterator

import click

from relay.cli.app import relay

WITHOUT = {
    "run": "goes on until Ctrl-C, and shows what happens",
    "console": "serves pages until Ctrl-C",
    "mcp": "speaks a protocol of its own on standard output",
}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield each command with its words, groups left out."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_every_command_has_json_or_a_reason() -> None:
    found = dict(commands(relay))
    without = [name for name, one in found.items() if not any("--json" in param.opts for param in one.params)]

    assert len(found) > 20
    assert set(without) == set(WITHOUT)
