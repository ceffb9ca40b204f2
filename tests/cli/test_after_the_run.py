"""After a local run, or where there was none, the commands do not ask for Google's credentials first."""

from pathlib import Path

import pytest

from relay.local.environment import LOGS
from tests.support.invented_lines import invented_events
from tests.support.log_files import written
from tests.support.parts import Tool


@pytest.fixture
def ended(tmp_path: Path) -> Tool:
    """Give the command in the folder of a local run that has ended."""
    (tmp_path / LOGS).mkdir(parents=True)
    written(tmp_path / LOGS / "receiver.log", invented_events(3))
    return Tool({}, tmp_path)


@pytest.mark.parametrize(
    "command",
    [("events",), ("failures",), ("balance",), ("ledger", "--since=2h"), ("trace", "--order=ORD-100001"), ("capture",)],
    ids=" ".join,
)
def test_reading_commands_read_the_run_that_has_ended_and_say_so(ended: Tool, command: tuple[str, ...]) -> None:
    told = ended.run(*command)

    assert "From the local run that ended at " in told.stderr
    assert "Cloud Logging" not in told.stderr


def test_without_a_run_and_a_project_the_local_run_is_named_first(tmp_path: Path) -> None:
    told = Tool({}, tmp_path).run("events")

    assert told.returncode == 2
    assert told.stderr.startswith("No local run goes on in this folder (make run)")
    assert "--lines" in told.stderr
    assert "--project" in told.stderr


def test_with_a_named_project_only_the_credentials_are_missing(tmp_path: Path) -> None:
    told = Tool({"HOME": str(tmp_path), "NO_GCE_CHECK": "true"}, tmp_path).run("events", "--project", "test-relay")

    assert told.returncode == 2
    assert "gcloud auth application-default login" in told.stderr
    assert "GOOGLE_CLOUD_PROJECT" not in told.stderr


def test_send_names_the_local_run_before_it_asks_for_a_key(tmp_path: Path) -> None:
    told = Tool({}, tmp_path).run("send", "order_state_changed")

    assert told.returncode == 2
    assert told.stderr.startswith("No local run goes on in this folder (make run)")
    assert "--key" in told.stderr


def test_capture_counts_what_it_keeps_and_what_it_leaves_out(ended: Tool) -> None:
    told = ended.run("capture", "--limit", "1")

    [count] = told.stdout.splitlines()
    assert "of the local run that has ended (8 log lines) kept, masked, in .relay/captured" in count
    assert "2 older webhooks left out: raise --limit, now 1" in told.stderr
