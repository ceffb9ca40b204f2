"""`relay trace` answers "where is event X" from what the services really print, and from Cloud Logging."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.local.environment import LINES, LOCAL_ENV, announced
from tests.support.cloud_logging import CloudLogging
from tests.support.log_entries import PUBLISHED, PUBLISHED_EVENT, PUBLISHED_TRACE
from tests.support.parts import OneStock, Service, Tool, order_event
from tests.support.waiting import wait_until


@pytest.fixture
def cloud_logging(cloud_logging: CloudLogging) -> CloudLogging:
    cloud_logging.entries.append(PUBLISHED)
    return cloud_logging


def test_the_services_own_lines_tell_an_events_whole_way(onestock: OneStock, worker: Service, tool: Tool) -> None:
    event_id = onestock.send(order_event("T-1")).json()["event_id"]
    onestock.send(b"unreadable")
    wait_until(lambda: len(worker.canonical("delivery")) == 2)
    files = [f"--lines={service.child.output}" for service in (onestock.receiver, worker)]

    text = tool.run("trace", event_id[:12], *files).stdout
    of_order = tool.json("trace", "--order", "T-1", "--lines", "-", stdin=Path(files[1].partition("=")[2]).read_text())

    assert [line.split()[2] for line in text.splitlines()[1:-2]] == ["received", "log", "log", "delivered"]
    assert "tests.support.following.orders.follow_order handled" in text
    assert "now: handled" in text
    assert [(history["event_id"], history["whereabouts"]) for history in of_order] == [(event_id, "handled")]


def test_without_a_terminal_cloud_logging_is_asked_and_not_an_empty_standard_input(
    anywhere: Tool, cloud_logging: CloudLogging
) -> None:
    ended = anywhere.run("trace", PUBLISHED_EVENT, "--since", "2026-01-01")

    assert ended.returncode == 0, ended.stderr
    assert "now: dropped by Pub/Sub: not acknowledged within 7 days" in ended.stdout
    assert cloud_logging.requests[0]["resourceNames"] == ["projects/test-relay"]
    assert (
        cloud_logging.requests[0]["filter"]
        == f'labels.event_id=~"^{PUBLISHED_EVENT}" AND timestamp>="2026-01-01T00:00:00+00:00"'
    )


def test_a_trace_id_names_its_events(anywhere: Tool) -> None:
    found = anywhere.json("trace", "--trace", PUBLISHED_TRACE, "--since", "2026-01-01")
    none = anywhere.run("trace", "--trace", PUBLISHED_TRACE[::-1], "--since", "2026-01-01")

    assert [history["event_id"] for history in found] == [PUBLISHED_EVENT]
    assert f"is about the trace {PUBLISHED_TRACE[::-1]}." in none.stderr


def test_where_no_line_is_about_an_event_it_is_said_where_it_was_looked_for(anywhere: Tool, tmp_path: Path) -> None:
    file = tmp_path / "worker.log"
    file.write_text("starting\n{}\n" + '{"time": "2026-01-01T00:00:00Z", "line": "delivery"}\n')

    in_cloud = anywhere.run("trace", "cd" * 32, "--since", "2026-01-01")
    in_file = anywhere.run("trace", "cd" * 32, "--lines", str(file))
    in_nothing = anywhere.run("trace", "cd" * 32, "--lines", "-", stdin="")

    assert [ended.returncode for ended in (in_cloud, in_file, in_nothing)] == [1, 1, 1]
    assert "in Cloud Logging of the project test-relay since 2026-01-01T00:00:00Z" in in_cloud.stderr
    assert f"in {file} (1 log line)" in in_file.stderr
    assert "in standard input (0 log lines)" in in_nothing.stderr


def test_a_log_that_cannot_be_read_is_one_line(anywhere: Tool, cloud_logging: CloudLogging) -> None:
    cloud_logging.is_forbidden = True
    refused = anywhere.run("trace", PUBLISHED_EVENT)
    absent = anywhere.run("trace", PUBLISHED_EVENT, "--lines", "no-such-file.log")
    del anywhere.environ["GOOGLE_CLOUD_PROJECT"]
    nowhere = anywhere.run("trace", PUBLISHED_EVENT)

    assert [ended.returncode for ended in (refused, absent, nowhere)] == [1, 2, 2]
    assert "Permission denied" in refused.stderr
    assert "GOOGLE_CLOUD_PROJECT" in nowhere.stderr
    assert "--lines" in nowhere.stderr
    assert [len(ended.stderr.splitlines()) for ended in (refused, nowhere)] == [1, 1]


def test_what_cannot_be_an_event_id_is_wrong_use(tool: Tool) -> None:
    assert tool.run("trace", 'x" OR true').returncode == 2
    assert tool.run("trace").returncode == 2


@pytest.fixture
def beside_a_run(cloud_logging: CloudLogging, tmp_path: Path) -> Iterator[Tool]:
    """Give the command in the folder of a local run whose log has no line about any event."""
    (tmp_path / "local.log").touch()
    local = {"GOOGLE_CLOUD_PROJECT": "local-relay", LINES: str(tmp_path / "local.log")}
    (tmp_path / LOCAL_ENV).parent.mkdir()
    with announced(tmp_path, local):
        yield Tool(dict(cloud_logging.environ), tmp_path)


def test_a_named_project_is_asked_although_a_local_run_goes_on_in_the_folder(
    beside_a_run: Tool, cloud_logging: CloudLogging
) -> None:
    local = beside_a_run.run("trace", PUBLISHED_EVENT)
    cloud = beside_a_run.run("trace", PUBLISHED_EVENT, "--project", "test-relay", "--since", "2026-01-01")

    assert ("Against the local run" in local.stderr, "local.log" in local.stderr) == (True, True)
    assert cloud.returncode == 0, cloud.stderr
    assert cloud.stderr.splitlines() == ["Not against the local run, since --project names another installation"]
    assert cloud_logging.requests[0]["resourceNames"] == ["projects/test-relay"]


def test_a_named_project_wins_over_the_shells_files_and_excludes_named_files(
    anywhere: Tool, cloud_logging: CloudLogging, tmp_path: Path
) -> None:
    (tmp_path / "local.log").touch()
    anywhere.environ[LINES] = str(tmp_path / "local.log")

    cloud = anywhere.run("trace", PUBLISHED_EVENT, "--since=2026-01-01", "--project=other-relay")
    both = anywhere.run("trace", PUBLISHED_EVENT, "--project=other-relay", "--lines=-", stdin="")

    assert cloud.returncode == 0, cloud.stderr
    assert cloud_logging.requests[0]["resourceNames"] == ["projects/other-relay"]
    assert (both.returncode, "--lines or --project" in both.stderr) == (2, True)
