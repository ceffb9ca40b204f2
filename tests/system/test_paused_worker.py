"""A worker that is paused beyond its lease comes back too late: the other one's record stands."""

import base64
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from relay.local.emulator import Emulator
from relay.local.services import start_service
from tests.support.parts import Service, order_event
from tests.support.ports import free_port
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until

SHORT_LIMITS = {"HANDLER_BUDGET_SECONDS": "5", "ACK_DEADLINE_SECONDS": "10", "LEASE_SECONDS": "11"}


@pytest.fixture
def settings(settings: dict[str, str], firestore_emulator: Emulator, ledger: Ledger) -> dict[str, str]:
    store = {"IDEMPOTENCY_STORE": "firestore", "FIRESTORE_EMULATOR_HOST": firestore_emulator.host}
    handlers = {"HANDLERS_PACKAGE": "tests.support.gated", "SHOP_LEDGER": str(ledger.file)}
    return {**settings, **store, **handlers, **SHORT_LIMITS}


@pytest.fixture
def other(settings: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    port = free_port()
    with start_service("worker", port=port, settings=settings, output=tmp_path / "other.log") as child:
        yield Service(child, port)


def push(worker: Service, event_id: str) -> int:
    """Deliver an event as Pub/Sub does."""
    attributes = {"event_type": "order_state_changed", "event_id": event_id}
    message = {"messageId": "1", "attributes": attributes, "data": base64.b64encode(order_event("P-1")).decode()}
    body = {"message": message, "subscription": "s"}
    return requests.post(f"http://127.0.0.1:{worker.port}/pubsub/push", json=body, timeout=60).status_code


def push_until_it_runs(worker: Service, event_id: str, ledger: Ledger) -> int:
    """Deliver an event again while the store does not answer, and return what the run was answered."""
    status = push(worker, event_id)
    while not ledger.count("begin"):
        status = push(worker, event_id)
    return status


def outcomes(worker: Service) -> list[str]:
    return [entry["outcome"] for entry in worker.canonical("delivery")]


def test_a_worker_paused_beyond_its_lease_cannot_record_its_run(
    worker: Service, other: Service, ledger: Ledger
) -> None:
    event_id = f"paused-{worker.port}"
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(push_until_it_runs, worker, event_id, ledger)
        wait_until(lambda: ledger.count("begin") == 1, within=30)
        worker.child.signal(signal.SIGSTOP)
        ledger.gate.touch()
        wait_until(lambda: push(other, event_id) == 204, within=40, every=0.5)
        worker.child.signal(signal.SIGCONT)
        status = late.result()
    wait_until(lambda: ledger.count("done") == 2)

    assert (status, outcomes(worker)[-1], outcomes(other)[-1]) == (503, "timed_out", "handled")
    assert "busy" in outcomes(other)
    wait_until(lambda: (push(worker, event_id), push(other, event_id)) == (204, 204))
    assert ledger.count("begin") == 2
