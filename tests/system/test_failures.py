"""`relay events` and `relay failures` answer from what the services really print, and from Cloud Logging."""

import json
from datetime import UTC, datetime

import pytest

from tests.support.cloud_logging import CloudLogging
from tests.support.parts import OneStock, Service, Tool, order_event
from tests.support.waiting import wait_until


@pytest.fixture
def settings(settings: dict[str, str]) -> dict[str, str]:
    return settings | {"HANDLERS_PACKAGE": "tests.support.outcomes"}


@pytest.fixture
def from_files(settings: dict[str, str], receiver: Service, worker: Service) -> Tool:
    files = ":".join(str(service.child.output) for service in (receiver, worker))
    return Tool({**settings, "RELAY_LINES": files})


def brought_about(onestock: OneStock, worker: Service) -> None:
    """Bring about a failure, two dead letters, a success and a webhook that is refused."""
    onestock.send(order_event("T-1"), "failing")
    onestock.send(order_event("T-2"), "rejected")
    onestock.send(order_event("T-3"), "rejected")
    onestock.send(order_event("T-4"), "fine")
    onestock.send_with_header(order_event("T-5"), None)
    wait_until(lambda: len({line["event_id"] for line in worker.canonical("delivery")}) == 4, within=30)


def test_failures_and_events_are_told_alike_from_files_and_anywhere_logging(
    onestock: OneStock, worker: Service, cloud_logging: CloudLogging, from_files: Tool, anywhere: Tool
) -> None:
    brought_about(onestock, worker)
    worker.child.stop()  # The event that fails is delivered again and again: let both answers tell of the same moment.
    for name, service in (("onestock-receiver", onestock.receiver), ("onestock-worker", worker)):
        cloud_logging.take(service.child.output.read_text(), service=name, project="test-relay")

    failures = [tool.json("failures") for tool in (from_files, anywhere)]
    events = [tool.json("events", "--where", "dead-letter") for tool in (from_files, anywhere)]

    assert [answer.pop("searched")["source"] for answer in failures][1] == "Cloud Logging of the project test-relay"
    assert failures[0] == failures[1]
    told = {group["handler"]: group for group in failures[0]["handlers"]}
    rejected = told["tests.support.outcomes.by_event_type.reject"]
    assert (rejected["reason"], rejected["times"]) == ("invented: rejected never works", 2)
    assert rejected["whereabouts"] == {"dead letter": 2}
    assert told["tests.support.outcomes.by_event_type.fail"]["whereabouts"] == {"being retried": 1}
    assert [group["outcomes"] for group in failures[0]["webhooks"]] == [["refused"]]
    assert events[0]["events"] == events[1]["events"]
    assert [event["order_id"] for event in events[0]["events"]] == ["T-3", "T-2"]


def test_the_tables_fit_the_terminal_and_say_where_was_looked(
    onestock: OneStock, worker: Service, from_files: Tool
) -> None:
    brought_about(onestock, worker)
    from_files.environ["COLUMNS"] = "110"

    failures, events = from_files.run("failures"), from_files.run("events", "--limit", "2")
    nothing = from_files.run("events", "--order", "T-6")

    assert max(len(line) for line in failures.stdout.splitlines()[:-1]) <= 110
    assert "Webhooks that were refused or not stored" in failures.stdout
    assert "receiver.log" in failures.stdout
    assert "Older ones fit, too" in events.stderr
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "No event in" in nothing.stderr
    assert f"since {datetime.now(UTC):%Y-}" in " ".join(nothing.stderr.split())


def test_a_log_that_cannot_be_read_is_one_line(anywhere: Tool, cloud_logging: CloudLogging) -> None:
    cloud_logging.is_forbidden = True

    ended = [anywhere.run("failures"), anywhere.run("events"), anywhere.run("events", "--where", "nowhere")]

    assert [one.returncode for one in ended] == [1, 1, 2]
    assert [len(one.stderr.splitlines()) for one in ended[:2]] == [1, 1]
    assert "being_retried" in ended[2].stderr


def test_nothing_that_failed_is_said_with_where_was_looked(anywhere: Tool) -> None:
    ended = anywhere.run("failures", "--since", "2026-01-01")

    assert (ended.returncode, ended.stdout) == (
        0,
        "Nothing failed in Cloud Logging of the project test-relay since 2026-01-01T00:00:00Z\n",
    )
    assert json.loads(anywhere.run("failures", "--json").stdout)["handlers"] == []
