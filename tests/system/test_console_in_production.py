"""The console on production's sources: Cloud Logging and the dead-letter subscription, with the reader's own rights."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloud_logging import CloudLogging
from tests.support.console_reader import ConsoleReader
from tests.support.parts import OneStock, Service, Tool, order_event
from tests.support.running_console import running_console
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until

ACCOUNT = "on-call@example.com"
WHY = "the shop is repaired"


@pytest.fixture
def cloud(
    settings: dict[str, str], shop_settings: dict[str, str], receiver: Service, worker: Service, onestock: OneStock
) -> Iterator[CloudLogging]:
    """Have a dead letter of each handler, and the lines of both services in Cloud Logging."""
    assert settings is shop_settings
    onestock.send(order_event("D-1", reject=True))
    wait_until(lambda: worker.count("delivery"), within=60)
    with CloudLogging().running() as running:
        for name, service in (("receiver", receiver), ("worker", worker)):
            running.take(service.child.output.read_text(), service=name, project="test-relay")
        yield running


@pytest.fixture
def variables(settings: dict[str, str], cloud: CloudLogging, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a person on call, whose gcloud knows him."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(f'#!/bin/sh\n[ "$*" = "config get account" ] && echo {ACCOUNT}\n')
    gcloud.chmod(0o755)
    return {**settings, **cloud.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}


def test_a_console_is_read_only_unless_it_was_started_otherwise(variables: dict[str, str], tmp_path: Path) -> None:
    with running_console([], output=tmp_path / "console.log", variables=variables) as running:
        console = ConsoleReader(running)
        wait_until(lambda: "D-1" in console.get("/dead-letters"), within=60, every=0.2)
        counted = console.post("/dead-letters/count", {"reason": WHY})
        console.session.close()

    assert counted.status_code == 403
    assert [line["action"] for line in running.lines("console_refused")] == ["count"]


def test_a_redrive_needs_a_reason_and_is_a_step_of_the_trace_that_others_see(
    variables: dict[str, str], cloud: CloudLogging, tool: Tool, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.repaired.touch()
    options = ["--allow-actions"]
    with running_console([], output=tmp_path / "console.log", options=options, variables=variables) as running:
        console = ConsoleReader(running)
        wait_until(lambda: "refund" in console.groups(), within=60, every=0.2)
        plan = console.plan("redrive", groups=[console.groups()["refund"][0]])
        unexplained = console.post(f"{plan}/start")
        cloud.refuses_entries = True
        unseen = console.post(f"{plan}/start", {"reason": WHY})
        cloud.refuses_entries = False
        ends = console.wait_for_the_end(console.start(plan, reason=WHY))
        console.session.close()

    assert (unexplained.status_code, unseen.status_code, ends) == (400, 409, {"redriven": 1})
    wait_until(lambda: ledger.count("done") == 1, within=60)
    tool.environ |= cloud.environ
    traced = tool.run("trace", "--order", "D-1").stdout
    assert f"redrive in the console by {ACCOUNT}: {WHY}" in traced
