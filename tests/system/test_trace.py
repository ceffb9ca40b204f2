"""`relay trace` answers "where is event X" from what the services really print, and from Cloud Logging."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloud_logging import CloudLogging
from tests.support.parts import OneStock, Service, Tool, order_event
from tests.support.waiting import wait_until

EVENT = "ab" * 32
PUBLISHED = {
    "logName": "projects/test-relay/logs/run.googleapis.com%2Fstdout",
    "resource": {"type": "cloud_run_revision"},
    "timestamp": "2026-01-01T00:00:01.123456Z",
    "severity": "INFO",
    "labels": {"event_id": EVENT, "order_id": "T-1"},
    "jsonPayload": {"line": "webhook", "outcome": "published", "message_id": "m1", "status": 202},
}


@pytest.fixture
def cloud_logging() -> Iterator[CloudLogging]:
    with CloudLogging([PUBLISHED]).running() as running:
        yield running


@pytest.fixture
def anywhere(cloud_logging: CloudLogging) -> Tool:
    """Give the command without a terminal, as ssh and cron start it: its standard input is empty."""
    return Tool({"GOOGLE_CLOUD_PROJECT": "test-relay", **cloud_logging.environ})


def test_the_services_own_lines_tell_an_events_whole_way(onestock: OneStock, worker: Service, tool: Tool) -> None:
    event_id = onestock.send(order_event("T-1")).json()["event_id"]
    onestock.send(b"unreadable")
    wait_until(lambda: len(worker.canonical("delivery")) == 2, within=20)
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
    ended = anywhere.run("trace", EVENT, "--since", "2026-01-01")

    assert ended.returncode == 0, ended.stderr
    assert "published, not delivered yet" in ended.stdout
    assert cloud_logging.requests[0]["resourceNames"] == ["projects/test-relay"]
    assert (
        cloud_logging.requests[0]["filter"] == f'labels.event_id=~"^{EVENT}" AND timestamp>="2026-01-01T00:00:00+00:00"'
    )


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
    refused = anywhere.run("trace", EVENT)
    absent = anywhere.run("trace", EVENT, "--lines", "no-such-file.log")
    del anywhere.environ["GOOGLE_CLOUD_PROJECT"]
    nowhere = anywhere.run("trace", EVENT)

    assert [ended.returncode for ended in (refused, absent, nowhere)] == [1, 2, 2]
    assert "Permission denied" in refused.stderr
    assert "GOOGLE_CLOUD_PROJECT" in nowhere.stderr
    assert "--lines" in nowhere.stderr
    assert [len(ended.stderr.splitlines()) for ended in (refused, nowhere)] == [1, 1]


def test_what_cannot_be_an_event_id_is_wrong_use(tool: Tool) -> None:
    assert tool.run("trace", 'x" OR true').returncode == 2
    assert tool.run("trace").returncode == 2
