"""`relay reconcile` as a person on call runs it: interrupted, killed, misconfigured, against a OneStock in trouble."""

import re
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.local.processes import Child
from relay.local.services import ROOT
from relay.local.simulator import Simulator
from tests.support.parts import Service, Tool
from tests.support.waiting import wait_until

ORDERS = 120
A_MINUTE = 60


@pytest.fixture
def shop() -> Iterator[Simulator]:
    with Simulator.start() as running:
        site = running.site
        for number in range(ORDERS):
            site.place_order(f"ORD-{number}", items={"SKU-1": 1})
            site.orders[f"ORD-{number}"]["date"] -= A_MINUTE * (ORDERS - number)
            site.move_order(f"ORD-{number}", "picking")
        yield running


@pytest.fixture
def settings(settings: dict[str, str], shop: Simulator) -> dict[str, str]:
    return {**settings, **shop.environ}


def started(tool: Tool, output: Path) -> Child:
    command = [sys.executable, "-m", "relay", "reconcile", "--since", "1h", "--yes", "--rate", "20"]
    return Child("reconcile", command, environ={**tool.environ, "PYTHONPATH": str(ROOT)}, output=output)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupted", "stopped"])
def test_a_run_that_is_stopped_tells_how_to_go_on_and_nothing_is_missed(
    tool: Tool, shop: Simulator, worker: Service, tmp_path: Path, number: signal.Signals
) -> None:
    with started(tool, tmp_path / "output") as first:
        wait_until(lambda: shop.calls["GET /v1/history"] > ORDERS // 2)
        first.signal(number)
        status = first.wait(20)
    told = re.search(r"name these instead: (.+)", first.output.read_text())
    assert told, first.output.read_text()
    second = tool.json("reconcile", *told[1].split(), "--yes", "--rate", "0")
    wait_until(lambda: len(worker.handled()) == ORDERS)

    assert status == 1
    assert "Traceback" not in first.output.read_text()
    assert 0 < second["events"] < ORDERS


def test_after_a_kill_the_whole_run_again_doubles_nothing(
    tool: Tool, shop: Simulator, worker: Service, tmp_path: Path
) -> None:
    with started(tool, tmp_path / "output") as first:
        wait_until(lambda: shop.calls["GET /v1/history"] > ORDERS // 2)
        first.signal(signal.SIGKILL)
        first.wait(5)
    shop.fail(429, path="/v1/history")
    shop.fail(500, path="/v2/search_orders")

    ended = tool.json("reconcile", "--since", "1h", "--yes", "--rate", "0")
    wait_until(lambda: len(worker.handled()) == ORDERS)

    handled = [line for line in worker.canonical("delivery") if line["outcome"] == "handled"]
    assert (ended["changed_orders"], ended["undated_orders"]) == (ORDERS, 0)
    assert len(handled) == ORDERS


def test_the_time_reached_is_a_since_that_misses_no_change(tool: Tool, shop: Simulator) -> None:
    started = datetime.now(UTC)
    whole = tool.json("reconcile", "--since", "1h", "--dry-run", "--rate", "0")
    shop.site.move_order("ORD-1", "packed")
    after = tool.json("reconcile", "--since", whole["reached"], "--dry-run", "--rate", "0")
    until = tool.json("reconcile", "--since", "2h", "--until", "1h", "--dry-run", "--rate", "0")

    assert started - timedelta(seconds=1) <= datetime.fromisoformat(whole["reached"]) <= datetime.now(UTC)
    assert after["states"]["packed"] == 1
    assert datetime.fromisoformat(until["reached"]) < started - timedelta(minutes=59)


def test_what_the_worker_has_forgotten_is_only_published_if_told_so(tool: Tool, shop: Simulator) -> None:
    refused = tool.run("reconcile", "--since", "60d", "--yes")
    counted = tool.run("reconcile", "--since", "60d", "--dry-run", "--rate", "0")
    calls = shop.calls.total()
    told = tool.json("reconcile", "--since", "60d", "--yes", "--rate", "0", "--forgotten-too")

    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "--since" in refused.stderr
    assert "--forgotten-too" in refused.stderr
    assert counted.returncode == 0
    assert calls > 0
    assert told["events"] == ORDERS


def test_what_cannot_be_is_one_line_and_the_documented_status(tool: Tool, shop: Simulator) -> None:
    counted = tool.run("reconcile", "--since", "1h", "--dry-run", "--rate", "0")
    nobody = tool.run("reconcile", "--since", "1h", "--placed-since", "2099-01-01", "--yes")
    tool.environ["ONESTOCK_PASSWORD"] = "another-test-password"  # noqa: S105 - made for this test
    refused = tool.run("reconcile", "--since", "1h", "--yes")
    del tool.environ["ONESTOCK_API_URL"]
    unset = tool.run("reconcile", "--since", "1h", "--yes")

    assert (nobody.returncode, refused.returncode, unset.returncode) == (1, 1, 2)
    assert (counted.returncode, counted.stderr) == (0, "")
    assert f"{ORDERS} events of {ORDERS} changed orders would be published" in counted.stdout
    assert "OneStock knows no order placed since 2099-01-01T00:00:00Z" in nobody.stderr
    assert "check ONESTOCK_SITE_ID, ONESTOCK_USER_ID and ONESTOCK_PASSWORD" in refused.stderr
    assert unset.stderr.startswith("ONESTOCK_API_URL is not set")
    assert "Traceback" not in refused.stderr + nobody.stderr + unset.stderr
    assert "another-test-password" not in refused.stderr
    assert shop.calls["POST /v2/login"] == 3
