"""The store is the memory of what was done: while it is frozen or gone no handler runs, and rivals never both do."""

import base64
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from relay.local.emulator import FIRESTORE, Emulator
from relay.local.services import start_service
from tests.support.firestore_proxy import firestore_proxy
from tests.support.parts import OneStock, Service, order_event
from tests.support.ports import free_port
from tests.support.pushes import push as push_message
from tests.support.pushes import sent_by_onestock
from tests.support.shop.ledger import Ledger
from tests.support.storm import frozen
from tests.support.waiting import wait_until

RACES = 1_000


@pytest.fixture
def firestore_settings(shop_settings: dict[str, str]) -> dict[str, str]:
    shop_settings |= {"IDEMPOTENCY_STORE": "firestore", "LEASE_SECONDS": "11", "ACK_DEADLINE_SECONDS": "10"}
    shop_settings |= {"HANDLER_BUDGET_SECONDS": "4"}
    return shop_settings


@pytest.fixture
def remembering(
    firestore_settings: dict[str, str], firestore_emulator: Emulator, request: pytest.FixtureRequest
) -> Service:
    """Return a worker that remembers in Firestore."""
    firestore_settings["FIRESTORE_EMULATOR_HOST"] = firestore_emulator.host
    worker: Service = request.getfixturevalue("worker")
    return worker


@pytest.fixture
def rival(remembering: Service, firestore_settings: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    port = free_port()
    output = tmp_path / "rival.log"
    with start_service("worker", port=port, settings=firestore_settings, output=output) as child:
        assert remembering.port != port
        yield Service(child, port)


def push(session: requests.Session, worker: Service, event_id: str) -> int:
    """Deliver an event as Pub/Sub does."""
    attributes = {"event_type": "parcel_state_changed", "event_id": event_id}
    message = {"messageId": "1", "attributes": attributes, "data": base64.b64encode(order_event("R-1")).decode()}
    body = {"message": message, "subscription": "s"}
    return session.post(f"http://127.0.0.1:{worker.port}/pubsub/push", json=body, timeout=30).status_code


def test_of_two_workers_that_get_one_event_at_once_one_runs_it(
    remembering: Service, rival: Service, ledger: Ledger
) -> None:
    with requests.Session() as one, requests.Session() as other, ThreadPoolExecutor(2) as pool:
        for race in range(RACES):
            sent = [
                pool.submit(push, session, worker, f"race-{race}")
                for session, worker in ((one, remembering), (other, rival))
            ]
            assert 204 in {answer.result() for answer in sent}

    runs = Counter(step.event_id for step in ledger.steps("begin"))
    assert len(runs) == RACES
    assert set(runs.values()) == {1}


def outcomes(worker: Service) -> set[str]:
    return {line["outcome"] for line in worker.canonical("delivery")}


def test_while_the_store_is_frozen_no_handler_runs_and_then_all_do(
    remembering: Service, firestore_emulator: Emulator, onestock: OneStock, ledger: Ledger
) -> None:
    with frozen(firestore_emulator):
        sent = [onestock.send(order_event(f"F-{number}")).json()["event_id"] for number in range(20)]
        wait_until(lambda: outcomes(remembering))
        begun, answers = ledger.count("begin"), {line["status"] for line in remembering.canonical("delivery")}

    wait_until(lambda: ledger.count("done") >= 40, within=60)
    assert (begun, answers) == (0, {503})
    assert ledger.done() == {(handler, event_id) for handler in ("refund", "archive") for event_id in sent}
    assert ledger.count("done") == 40


def test_while_the_store_is_gone_no_handler_runs_and_then_all_do(
    firestore_settings: dict[str, str], request: pytest.FixtureRequest, ledger: Ledger, tmp_path: Path
) -> None:
    port = free_port()
    firestore_settings["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{port}"
    worker: Service = request.getfixturevalue("worker")
    onestock: OneStock = request.getfixturevalue("onestock")

    sent = [onestock.send(order_event(f"G-{number}")).json()["event_id"] for number in range(20)]
    wait_until(lambda: outcomes(worker))
    begun, answers = ledger.count("begin"), {line["status"] for line in worker.canonical("delivery")}
    with Emulator.start(FIRESTORE, port=port, output=tmp_path / "firestore.log", environ=without_emulators()):
        wait_until(lambda: ledger.count("done") >= 40, within=90)

    assert (begun, answers) == (0, {503})
    assert ledger.done() == {(handler, event_id) for handler in ("refund", "archive") for event_id in sent}
    assert ledger.count("done") == 40


def test_an_event_whose_claim_got_lost_on_the_way_is_handled_at_its_next_delivery(
    firestore_settings: dict[str, str], firestore_emulator: Emulator, request: pytest.FixtureRequest, ledger: Ledger
) -> None:
    firestore_settings |= {"HANDLER_BUDGET_SECONDS": "30", "ACK_DEADLINE_SECONDS": "599", "LEASE_SECONDS": "600"}
    with firestore_proxy(firestore_emulator.host) as proxy:
        firestore_settings["FIRESTORE_EMULATOR_HOST"] = proxy.host
        worker: Service = request.getfixturevalue("worker")
        event = sent_by_onestock(order_event(uuid.uuid4().hex), "parcel_state_changed")
        proxy.lose_answer(then_silent=True)
        lost = push_message(worker, event)
        proxy.is_silent = False
        proxy.abort_applied(2)

        handled = push_message(worker, event)

    assert (lost, handled) == (503, 204)
    assert ledger.count("done") == 1


def without_emulators() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.endswith("_EMULATOR_HOST")}
