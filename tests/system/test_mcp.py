"""An assistant asks the relay what happened: it gets the commands' answers, and has no way to change anything."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.local.processes import Child
from relay.local.services import ROOT
from relay.mcp.bound import MAX_BYTES
from tests.support.assistant import Assistant, assistant
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.warm_relay import run_relay

TOOLS = {"find_events", "trace_event", "order", "failures", "dead_letters", "webhooks", "balance", "doctor"}
EMAIL = "customer-17@example.com"
HANDLERS = """
from relay import OrderStateChanged, Reject, on

@on("order_state_changed")
def bill(event: OrderStateChanged) -> None:
    if event.order_id == "ORD-9001":
        raise ValueError(f"no address for {event.content['email']} of {event.order_id}")
    raise Reject("invented: nobody bills this")
"""
KEPT = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
LABELS = "logging.googleapis.com/labels"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code_of_the_shop").mkdir()
    (tmp_path / "code_of_the_shop" / "__init__.py").touch()
    (tmp_path / "code_of_the_shop" / "orders.py").write_text(HANDLERS)
    return tmp_path


@pytest.fixture
def asking(folder: Path) -> Iterator[Assistant]:
    with assistant("--folder", str(folder), log=folder / "mcp.log") as started:
        yield started


@pytest.fixture
def run(folder: Path) -> Iterator[Child]:
    """Give the local run, without events of its own."""
    names = ("RECEIVER_PORT", "WORKER_PORT", "EMULATOR_PORT", "CONSOLE_PORT")
    environ = KEPT | {name: str(free_port()) for name in names}
    environ |= {"PYTHONPATH": str(ROOT), "HANDLERS_PACKAGE": "code_of_the_shop", "LOG_CONTENT": "redacted"}
    command = [sys.executable, "-m", "relay", "run", "--rate", "0", "--attempts", "100"]
    output = folder / "run.log"
    with Child("make run", command, environ=environ, output=output, folder=folder) as child:
        wait_until(lambda: "loaded " in output.read_text(), within=60)
        yield child


def relay(folder: Path, *arguments: str) -> Any:
    """Run a command in the folder of the local run, and return its JSON."""
    ended = run_relay([*arguments, "--json"], environ=KEPT, folder=folder, timeout_seconds=60)
    assert ended.returncode in (0, 1), ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.usefixtures("run")
def test_an_assistant_answers_what_happened_to_an_order_and_what_failed_in_the_last_hour(
    asking: Assistant, folder: Path
) -> None:
    relay(folder, "send", "order_state_changed", "--order", "ORD-9001", "--field", f"email={EMAIL}")
    relay(folder, "send", "order_state_changed", "--order", "ORD-9002")
    wait_until(lambda: len(asking.ask("failures").content["handlers"]) == 2, within=60, every=0.5)

    order = asking.ask("order", order_id="ORD-9001")
    failures = asking.ask("failures")
    dead_letters = asking.ask("dead_letters").content["events"]

    assert order.content["events"][0]["whereabouts"] == "being retried"
    assert "ValueError: no address for *** of ORD-9001" in order.text
    reasons = {group["reason"]: group["whereabouts"] for group in failures.content["handlers"]}
    assert reasons["ValueError: no address for *** of #"] == {"being retried": 1}
    assert reasons["invented: nobody bills this"] == {"dead letter": 1}
    assert [letter["order_id"] for letter in dead_letters] == ["ORD-9002"]
    assert EMAIL not in order.text + failures.text + asking.log.read_text()
    assert asking.ask("webhooks").content["webhooks"] == relay(folder, "webhooks", "list")
    balance = asking.ask("balance").content
    assert (balance["webhooks"]["count"], balance["adds_up"]) == (2, False)
    assert {finding["check"] for finding in asking.ask("doctor").content["findings"]} >= {"topic", "subscription"}
    assert (
        asking.ask("find_events", text="ORD-9002").content["events"]
        == relay(folder, "events", "--order", "ORD-9002")["events"]
    )


def test_no_tool_can_change_anything(asking: Assistant) -> None:
    tools = asking.tools()

    assert {tool.name for tool in tools} == TOOLS
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
    for name in ("redrive", "discard", "replay", "pause", "send"):
        assert asking.ask(name).text == f"Unknown tool: {name}"


def test_where_nothing_can_be_read_the_answer_is_one_line(asking: Assistant) -> None:
    answers = [
        asking.ask("failures"),
        asking.ask("webhooks"),
        asking.ask("find_events", where="nowhere"),
        asking.ask("find_events", limit=100_000),
        asking.ask("find_events", order="ORD-1"),
        asking.ask("order", order_id="ORD-1", since="yesterday"),
    ]

    assert [answer.is_error for answer in answers] == [True] * 6
    assert [len(answer.text.splitlines()) for answer in answers] == [1] * 6
    assert "a project with --project or GOOGLE_CLOUD_PROJECT" in answers[0].text
    assert "find_events has no argument order; it has text, order_id" in answers[4].text
    assert "Traceback" not in asking.log.read_text()


def test_an_answer_of_ten_thousand_events_stays_within_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "receiver.log"
    with file.open("w") as lines:
        for number in range(10_000):
            time = (datetime.now(UTC) - timedelta(seconds=number / 10)).isoformat()
            labels = {"event_id": f"{number:064x}", "event_type": "order_state_changed", "order_id": "ORD-1"}
            told = {"time": time, "line": "webhook", "outcome": "published", "status": 202, LABELS: labels}
            lines.write(json.dumps(told) + "\n")
    with assistant("--lines", str(file), log=tmp_path / "mcp.log") as asking:
        found = asking.ask("find_events", order_id="ORD-1", limit=500)
        order = asking.ask("order", order_id="ORD-1")

    assert len(found.text.encode()) <= MAX_BYTES
    assert len(order.text.encode()) <= MAX_BYTES
    assert found.content["events"][0]["event_id"] == f"{0:064x}"
    assert "older events. Narrow it with order_id" in found.content["note"]
    assert "of the events. Take a shorter time with since" in order.content["note"]


def test_without_its_package_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "mcp.py").write_text("raise ModuleNotFoundError(\"No module named 'mcp'\", name='mcp')")
    command = [sys.executable, "-m", "relay", "mcp"]

    ended = subprocess.run(
        command, cwd=ROOT, env={**KEPT, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "`relay mcp` needs the package mcp. Install it: .venv/bin/pip install -r requirements-mcp.txt"
    ]
