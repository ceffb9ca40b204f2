"""Handlers that hang take a bounded part of the worker, and one that froze does not repeat what another has done."""

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from relay.local.emulator import Emulator
from relay.local.services import start_service
from tests.support.parts import PubSub, Service, order_event
from tests.support.ports import free_port
from tests.support.pushes import push, sent_by_onestock
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until

MAX_OVERDUE_RUNS = 5
EVENTS = 60
SENDERS = 8


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def settings(settings: dict[str, str], ledger: Ledger, gate: Path, firestore_emulator: Emulator) -> dict[str, str]:
    shop = {"HANDLERS_PACKAGE": "tests.support.hanging", "SHOP_LEDGER": str(ledger.file), "SHOP_GATE": str(gate)}
    limits = {"HANDLER_BUDGET_SECONDS": "0.3", "ACK_DEADLINE_SECONDS": "10", "LEASE_SECONDS": "11"}
    small = {"MAX_OVERDUE_RUNS": str(MAX_OVERDUE_RUNS), "DESTINATION_BUDGET_SECONDS": "0.1"}
    store = {"IDEMPOTENCY_STORE": "firestore", "FIRESTORE_EMULATOR_HOST": firestore_emulator.host}
    return {**settings, **shop, **limits, **small, **store}


@pytest.fixture
def other_worker(settings: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    """Return a worker whose handlers do not wait."""
    port = free_port()
    open_gate = {name: value for name, value in settings.items() if name != "SHOP_GATE"}
    with start_service("worker", port=port, settings=open_gate, output=tmp_path / "other.log") as child:
        yield Service(child, port)


def health(worker: Service) -> int:
    return requests.get(f"http://127.0.0.1:{worker.port}/health", timeout=10).status_code


def threads_of(worker: Service) -> int:
    """Return the number of threads of the service's processes."""
    listed = subprocess.run(
        ["ps", "-o", "nlwp=", "-s", str(worker.child.pid)], capture_output=True, text=True, check=True
    )
    return sum(int(number) for number in listed.stdout.split())


def test_hung_runs_are_bounded_and_health_fails_until_they_end(
    worker: Service, ledger: Ledger, gate: Path, pubsub: PubSub
) -> None:
    threads_before, was_healthy = threads_of(worker), health(worker)
    events = [sent_by_onestock(order_event(f"{pubsub.topology.topic}-{number}")) for number in range(EVENTS)]

    with ThreadPoolExecutor(SENDERS) as pool:
        statuses = set(pool.map(lambda event: push(worker, event), events))
    threads, is_healthy, begun = threads_of(worker) - threads_before, health(worker), ledger.count("waits")
    gate.touch()
    wait_until(lambda: health(worker) == 200)

    assert (statuses, was_healthy, is_healthy) == ({503}, 200, 503)
    assert begun <= MAX_OVERDUE_RUNS + SENDERS
    assert threads < EVENTS / 2  # Of the handlers, of the requests, and of /health.
    assert {line["outcome"] for line in worker.canonical("delivery")} == {"timed_out", "overloaded"}
    wait_until(lambda: push(worker, events[-1]) == 204)  # Its own run may be the last that ends.


def test_a_run_that_was_frozen_beyond_its_lease_leaves_its_effect_to_its_successor(
    worker: Service, other_worker: Service, ledger: Ledger, gate: Path, pubsub: PubSub
) -> None:
    event = sent_by_onestock(order_event(pubsub.topology.topic))
    push(worker, event)
    worker.child.signal(signal.SIGSTOP)
    busy = push(other_worker, event)

    wait_until(lambda: push(other_worker, event) == 204, within=30, every=0.5)
    gate.touch()
    worker.child.signal(signal.SIGCONT)
    wait_until(lambda: "ended before its effect" in worker.child.output.read_text())

    assert busy == 503
    assert ledger.count("waits") == 2
    assert ledger.count("done") == 1
