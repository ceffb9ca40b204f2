"""`relay balance` accounts for every webhook and event, from the services' own lines and from Cloud Logging."""

import pytest

from tests.support.cloud_logging import CloudLogging
from tests.support.log_entries import PUBLISHED, PUBLISHED_EVENT
from tests.support.parts import OneStock, Service, Tool, order_event
from tests.support.waiting import wait_until


@pytest.fixture
def cloud_logging(cloud_logging: CloudLogging) -> CloudLogging:
    cloud_logging.entries.append(PUBLISHED)
    return cloud_logging


def test_what_the_services_wrote_adds_up(onestock: OneStock, worker: Service, tool: Tool) -> None:
    onestock.send(order_event("T-1"))
    onestock.send(order_event("T-1"))
    onestock.send_with_header(order_event("T-2"), b"t=1,h0=wrong")
    wait_until(lambda: len(worker.canonical("delivery")) == 2, within=20)
    files = [f"--lines={service.child.output}" for service in (onestock.receiver, worker)]

    ended = tool.run("balance", *files)
    found = tool.json("balance", *files)

    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "It adds up.")
    assert {part["name"]: part["count"] for part in found["webhooks"]["parts"]} == {"published": 2, "refused": 1}
    assert {part["name"]: part["count"] for part in found["deliveries"]["parts"] if part["count"]} == {
        "handled": 1,
        "duplicate": 1,
    }


def test_an_event_without_a_delivery_is_named(anywhere: Tool, cloud_logging: CloudLogging) -> None:
    ended = anywhere.run("balance", "--since", "2026-01-01T00:00:00Z", "--until", "2026-01-01T01:00:00Z")

    assert ended.returncode == 1
    assert "from Cloud Logging of the project test-relay" in ended.stdout
    assert "1 event was published and has no delivery" in ended.stdout
    assert f"relay trace {PUBLISHED_EVENT[:12]}" in ended.stdout
    asked = cloud_logging.requests[0]["filter"]
    assert ('timestamp>="2025-12-31T23:45:00' in asked, 'timestamp<"2026-01-01T01:15:00' in asked) == (True, True)


def test_a_range_that_ends_before_it_begins_is_wrong_use(anywhere: Tool) -> None:
    ended = anywhere.run("balance", "--since", "1h", "--until", "2h")

    assert (ended.returncode, "must be before --until" in ended.stderr) == (2, True)
