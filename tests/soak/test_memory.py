"""`make soak`: ten minutes of steady load with faults. Nothing is lost, and no process grows."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay.local.emulator import Emulator
from tests.support.parts import PubSub
from tests.support.ports import free_port
from tests.support.shop.ledger import Ledger
from tests.support.storm import Kind, RunningService, Sent, Storm, frozen, orders
from tests.support.waiting import wait_until
from tests.system.conftest import ledger, pubsub, settings, shop_settings, worker_port

__all__ = ["ledger", "pubsub", "settings", "shop_settings", "worker_port"]

SOAK_SECONDS = 600
WARM_UP_SECONDS = 60
FAULT_EVERY_SECONDS = 60
EVENTS_PER_SECOND = 40
ALLOWED_GROWTH = 1.10


@pytest.mark.soak
@pytest.mark.timeout(SOAK_SECONDS + 600)
def test_ten_minutes_of_faults_lose_nothing_and_leave_memory_as_it_was(
    shop_settings: dict[str, str],
    worker_port: int,
    pubsub: PubSub,
    firestore_emulator: Emulator,
    ledger: Ledger,
    tmp_path: Path,
) -> None:
    shop_settings |= {"IDEMPOTENCY_STORE": "firestore", "FIRESTORE_EMULATOR_HOST": firestore_emulator.host}
    shop_settings |= {"SHOP_TROUBLE": "0.02", "LOG_CONTENT": "off"}
    shop_settings |= {"HANDLER_BUDGET_SECONDS": "4", "ACK_DEADLINE_SECONDS": "10", "LEASE_SECONDS": "11"}
    receiver = RunningService("receiver", free_port(), shop_settings, tmp_path)
    worker = RunningService("worker", worker_port, shop_settings, tmp_path)
    storm = Storm(receiver.port, per_second=EVENTS_PER_SECOND)
    started = time.monotonic()

    def until_the_end() -> Iterator[list[Sent]]:
        endless = orders(1_000_000, events_of_an_order=10)
        return itertools.takewhile(lambda _: time.monotonic() - started < SOAK_SECONDS, endless)

    with receiver.running(), worker.running(), ThreadPoolExecutor(1) as pool:
        sending = pool.submit(storm.send, until_the_end())
        time.sleep(WARM_UP_SECONDS)
        before = {service.name: memory_of(service) for service in (receiver, worker)}
        for emulator in itertools.cycle([pubsub.emulator, firestore_emulator]):
            with frozen(emulator):
                time.sleep(3)
            time.sleep(FAULT_EVERY_SECONDS - 3)
            if sending.done():
                break
        sending.result()
        expected = storm.expected(Kind.READABLE)
        wait_until(lambda: ledger.done() == expected, within=300, every=2)
        after = {service.name: memory_of(service) for service in (receiver, worker)}

    print(f"{storm.webhooks} webhooks, {storm.refusals} refused at first; KiB before {before}, after {after}")
    assert storm.count > EVENTS_PER_SECOND * SOAK_SECONDS / 4
    assert ledger.count("done") == len(expected)
    assert {name: after[name] <= ALLOWED_GROWTH * before[name] for name in before} == dict.fromkeys(before, True)


def memory_of(service: RunningService) -> int:
    """Return the resident memory (KiB) of the service's processes."""
    group = service.child.pid
    return sum(_resident(process) for process in Path("/proc").glob("[0-9]*") if _group_of(process) == group)


def _group_of(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[2])
    except OSError:
        return None


def _resident(process: Path) -> int:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
