"""Where no line of the relay was read, no command says that all is well."""

from pathlib import Path

import pytest

from relay.local.environment import LINES, LOCAL_ENV, announced
from tests.support.cloud_logging import CloudLogging
from tests.support.parts import Tool

OLD_LINE = '{"time": "2026-01-01T00:00:00Z", "line": "webhook", "outcome": "published", "status": 202}\n'


@pytest.mark.parametrize("command", [("balance",), ("ledger", "--since=2h", "--no-onestock")], ids=" ".join)
def test_a_file_without_a_line_of_the_relay_is_wrong_use(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "README.md"
    file.write_text("# No log\n")

    ended = Tool({}).run(*command, f"--lines={file}")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"{file} holds no line of the relay: nothing can be said\n"


@pytest.mark.parametrize("command", [("balance",), ("ledger", "--since=2h", "--no-onestock")], ids=" ".join)
def test_a_range_without_a_line_is_exit_status_1(cloud_logging: CloudLogging, command: tuple[str, ...]) -> None:
    ended = Tool({"GOOGLE_CLOUD_PROJECT": "test-relay", **cloud_logging.environ}).run(*command)

    assert ended.returncode == 1
    assert "It adds up" not in ended.stdout
    assert "Cloud Logging of the project test-relay" in ended.stderr
    assert "nothing can be said" in ended.stderr


def test_the_json_of_an_empty_balance_does_not_say_that_it_adds_up(tmp_path: Path) -> None:
    (tmp_path / "receiver.log").write_text(OLD_LINE)

    ended = Tool({}).run("balance", "--json", f"--lines={tmp_path / 'receiver.log'}")

    assert ended.returncode == 1
    assert '"adds_up": null' in ended.stdout


@pytest.mark.parametrize(
    "command",
    [("balance", "--since=1h", "--until=2h"), ("failures", "--since=1h", "--until=2h"), ("ledger", "--since=1h")],
    ids=" ".join,
)
def test_an_empty_range_is_one_line_that_says_what_to_write(command: tuple[str, ...]) -> None:
    ended = Tool({}).run(*command, "--lines=-")

    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "--until now" in ended.stderr


def test_the_ledger_of_a_local_run_ends_now(tmp_path: Path) -> None:
    (tmp_path / "receiver.log").write_text(OLD_LINE)
    (tmp_path / LOCAL_ENV).parent.mkdir()

    with announced(tmp_path, {LINES: str(tmp_path / "receiver.log"), "RELAY_LOCAL_URL": "http://127.0.0.1:1"}):
        ended = Tool({}, tmp_path).run("ledger", "--since", "30m", "--no-onestock")

    assert "the receiver's lines against the local run (1 log line)" in " ".join(ended.stdout.split())
