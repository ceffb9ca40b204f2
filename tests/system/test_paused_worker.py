"""A worker that is paused beyond its lease comes back too late: the other one's record stands."""

import base64
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from relay.local.emulator import Emulator
from relay.local.processes import free_port
from relay.local.services import start_service
from tests.support.parts import Service, order_event
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


def test_a_worker_paused_beyond_its_lease_cannot_record_its_run(
    worker: Service, other: Service, ledger: Ledger
) -> None:
    event_id = f"paused-{worker.port}"
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(push, worker, event_id)
        wait_until(lambda: ledger.count("begin") == 1, within=10)
        worker.child.signal(signal.SIGSTOP)
        ledger.gate.touch()
        wait_until(lambda: push(other, event_id) == 204, within=30, every=0.5)
        worker.child.signal(signal.SIGCONT)
        status = late.result()
    wait_until(lambda: ledger.count("done") == 2, within=10)

    assert status == 503
    assert {entry["outcome"] for entry in worker.canonical("delivery")} == {"timed_out"}
    assert [entry["outcome"] for entry in other.canonical("delivery")][-1] == "handled"
    assert {entry["outcome"] for entry in other.canonical("delivery")[:-1]} == {"busy"}
    assert (push(worker, event_id), push(other, event_id)) == (204, 204)
    assert ledger.count("begin") == 2
