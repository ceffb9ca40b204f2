"""A rate or a time that nobody can mean is refused in one line, before anything is done."""

import pytest
from click.testing import CliRunner

from relay.cli.app import relay

RATED = (["dead-letters", "redrive"], ["replay", "--since", "1h"], ["reconcile", "--since", "1h"], ["run"])


@pytest.mark.parametrize("command", RATED, ids=lambda command: command[0])
@pytest.mark.parametrize("rate", ["-5", "nan", "inf", "1e-300", "fast"])
def test_a_rate_that_is_none_is_refused(command: list[str], rate: str) -> None:
    ended = CliRunner().invoke(relay, [*command, "--rate", rate])

    assert ended.exit_code == 2
    assert ended.stderr.splitlines()[-1].endswith(f"'{rate}' is no rate; write a number from 0.01 on, or 0")


@pytest.mark.parametrize("command", ["replay", "reconcile", "ledger", "balance", "failures", "events", "console"])
@pytest.mark.parametrize("since", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00+12:00", "0001-01-01"])
def test_a_moment_outside_the_calendar_is_refused(command: str, since: str) -> None:
    ended = CliRunner().invoke(relay, [command, "--since", since])

    assert ended.exit_code == 2
    assert f"'{since}' is no time" in ended.stderr.splitlines()[-1]
