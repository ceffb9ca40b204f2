"""Everything breaks while 20,000 events pass: each that got a 202 is handled once by each handler, or a dead letter."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import sleep

import pytest

from relay.local.emulator import Emulator
from tests.support.parts import PubSub, Tool
from tests.support.ports import free_port
from tests.support.shop.ledger import Ledger
from tests.support.sizes import ORDERS_WITH_FAULTS
from tests.support.storm import Kind, RunningService, Storm, frozen, orders
from tests.support.waiting import wait_until

ORDERS = ORDERS_WITH_FAULTS
EVENTS_OF_AN_ORDER = 10
EVENTS = ORDERS * EVENTS_OF_AN_ORDER
# A run that had its effect when its worker was killed, unrecorded, happens again: its effect has the event's id as key.
KILL_WINDOW_SECONDS = 2.0

SHORT_LIMITS = {"HANDLER_BUDGET_SECONDS": "4", "ACK_DEADLINE_SECONDS": "10", "LEASE_SECONDS": "11"}


@pytest.fixture
def faulty_settings(shop_settings: dict[str, str], firestore_emulator: Emulator) -> dict[str, str]:
    store = {"IDEMPOTENCY_STORE": "firestore", "FIRESTORE_EMULATOR_HOST": firestore_emulator.host}
    trouble = {"SHOP_TROUBLE": "0.05", "SHOP_SECONDS": "0.002", "LOG_CONTENT": "off"}
    return {**shop_settings, **store, **trouble, **SHORT_LIMITS}


@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost_and_nothing_done_twice(
    faulty_settings: dict[str, str],
    worker_port: int,
    pubsub: PubSub,
    firestore_emulator: Emulator,
    tool: Tool,
    ledger: Ledger,
    tmp_path: Path,
) -> None:
    receiver = RunningService("receiver", free_port(), faulty_settings, tmp_path)
    worker = RunningService("worker", worker_port, faulty_settings, tmp_path)
    storm = Storm(receiver.port)

    def freeze(emulator: Emulator, seconds: float) -> None:
        with frozen(emulator):
            sleep(seconds)

    faults: list[Callable[[], None]] = [
        worker.kill,
        partial(freeze, pubsub.emulator, 20),
        receiver.kill,
        worker.kill,
        partial(freeze, firestore_emulator, 6),
        partial(freeze, pubsub.emulator, 5),
        worker.kill,
        receiver.kill,
        partial(freeze, pubsub.emulator, 12),
        worker.kill,
    ]
    with receiver.running(), worker.running(), ThreadPoolExecutor(1) as pool:
        sending = pool.submit(storm.send, orders(ORDERS, events_of_an_order=EVENTS_OF_AN_ORDER))
        for number, fault in enumerate(faults, start=1):
            wait_until(partial(storm.has_sent, EVENTS * number / (len(faults) + 1)), within=300)
            fault()
        sending.result()
        readable = storm.expected(Kind.READABLE)
        wait_until(lambda: ledger.count("done") >= len(readable), within=400, every=1)
        wait_until(lambda: ledger.done() == readable, within=60, every=1)
        wait_until(lambda: dead_events(tool) == storm.ids(Kind.UNREADABLE, Kind.REPAIRABLE), within=120)

        ledger.repaired.touch()
        tool.json("dead-letters", "redrive", "--yes", "--rate", "0", "--reason", "no such order")
        wait_until(lambda: ledger.done() == storm.expected(Kind.READABLE, Kind.REPAIRABLE), within=120, every=1)

    assert storm.count == EVENTS
    assert storm.webhooks == EVENTS + EVENTS // 10
    assert dead_events(tool) == storm.ids(Kind.UNREADABLE)
    assert effects_done_twice(ledger, worker) == []


def dead_events(tool: Tool) -> set[str]:
    return {letter["event_id"] for letter in tool.json("dead-letters", "list")}


def effects_done_twice(ledger: Ledger, worker: RunningService) -> list[tuple[str, str]]:
    """Return what a handler did twice although nobody killed its worker between the effect and its record."""
    steps = ledger.steps("done")
    excused = Counter(
        (step.handler, step.event_id)
        for step in steps
        if any(0 <= killed_at - step.moment < KILL_WINDOW_SECONDS for killed_at in worker.kills.values())
    )
    runs = Counter((step.handler, step.event_id) for step in steps)
    return [key for key, count in runs.items() if count - min(excused[key], count - 1) > 1]
