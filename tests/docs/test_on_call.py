"""docs/on-call.md and the alerts name what exists: alerts, commands of ours, commands of gcloud."""

import re
from pathlib import Path

import click

from relay.cli.app import relay
from tests.deployment.test_monitoring import ALERTS
from tests.support.gcloud import complaints

ON_CALL = (Path(__file__).parents[2] / "docs" / "on-call.md").read_text()
TEXTS = [ON_CALL, *(policy["documentation"]["content"] for policy in ALERTS.values())]


def test_every_alert_stands_in_both_tables_and_no_other() -> None:
    tables = ON_CALL.partition("## An alert came")[2].partition("## Questions")[0]
    named = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", tables)

    assert sorted(named) == sorted([*ALERTS, *ALERTS])


def test_every_command_of_ours_exists() -> None:
    named = {
        tuple(found.split())
        for text in TEXTS
        for found in re.findall(r"(?m)(?:`|^    )relay ((?:[a-z][a-z-]+ ?)+)", text)
    }

    assert {words for words in named if not exists(words)} == set()
    assert ("doctor",) in named


def exists(words: tuple[str, ...]) -> bool:
    command: click.Command | None = relay
    for word in words:
        command = command.commands.get(word) if isinstance(command, click.Group) else None
    return command is not None


def test_every_gcloud_command_is_one_that_gcloud_knows(tmp_path: Path) -> None:
    commands = [line.strip() for line in ON_CALL.splitlines() if line.startswith("    gcloud ")]

    assert commands
    assert complaints(commands, tmp_path) == []
