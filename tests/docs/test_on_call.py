"""docs/on-call.md names what exists: alerts, and commands of gcloud."""

import re
from pathlib import Path

from tests.deployment.test_monitoring import ALERTS
from tests.support.gcloud import complaints

ON_CALL = (Path(__file__).parents[2] / "docs" / "on-call.md").read_text()


def test_every_alert_stands_in_both_tables_and_no_other() -> None:
    tables = ON_CALL.partition("## An alert came")[2].partition("## Questions")[0]
    named = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", tables)

    assert sorted(named) == sorted([*ALERTS, *ALERTS])


def test_every_gcloud_command_is_one_that_gcloud_knows(tmp_path: Path) -> None:
    commands = [line.strip() for line in ON_CALL.splitlines() if line.startswith("    gcloud ")]

    assert commands
    assert complaints(commands, tmp_path) == []
