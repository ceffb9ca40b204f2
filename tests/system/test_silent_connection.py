"""A connection to Pub/Sub that goes silent while new ones work: the receiver finds a new one by itself."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.local.services import start_service
from tests.support.parts import OneStock, PubSub, Service, order_event
from tests.support.ports import free_port
from tests.support.silent_proxy import SilentProxy
from tests.support.waiting import wait_until

SENDERS = 4
LONGEST_SILENCE_SECONDS = 15
LONGEST_ANSWER_SECONDS = 12


@pytest.fixture
def proxy(pubsub: PubSub) -> Iterator[SilentProxy]:
    with SilentProxy(pubsub.emulator.host).running() as proxy:
        yield proxy


@pytest.fixture
def receiver(settings: dict[str, str], proxy: SilentProxy, tmp_path: Path) -> Iterator[Service]:
    port, output = free_port(), tmp_path / "receiver.log"
    through_proxy = {**settings, "PUBSUB_EMULATOR_HOST": proxy.host}
    with start_service("receiver", port=port, settings=through_proxy, output=output) as child:
        yield Service(child, port)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    event_id: str
    sent_at: float
    answered_at: float


@dataclass
class Traffic:
    """Webhooks that go on, whatever they are answered."""

    onestock: OneStock
    answers: list[Answer] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def send(self, sender: int) -> None:
        number = 0
        while not self.stopping.wait(0.02):
            sent_at = time.monotonic()
            response = self.onestock.send(order_event(f"S-{sender}-{number}"))
            event_id = response.json().get("event_id", "")
            self.answers.append(Answer(response.status_code, event_id, sent_at, time.monotonic()))
            number += 1

    def accepted_after(self, moment: float) -> int:
        return sum(answer.status == 202 and answer.sent_at > moment for answer in self.answers)


@pytest.mark.parametrize("senders", [1, SENDERS])
def test_a_silent_connection_is_left_within_seconds_and_without_a_restart(
    onestock: OneStock, worker: Service, proxy: SilentProxy, senders: int
) -> None:
    traffic = Traffic(onestock)
    with ThreadPoolExecutor(senders) as pool:
        sending = [pool.submit(traffic.send, sender) for sender in range(senders)]
        wait_until(lambda: len(traffic.answers) > 20)
        opened = proxy.opened
        proxy.silence()
        silent_at = time.monotonic()
        wait_until(lambda: traffic.accepted_after(silent_at) > 20, within=40)
        traffic.stopping.set()
        for sender in sending:
            sender.result()

    refused = [answer for answer in traffic.answers if answer.status != 202]
    first_accepted = min(a.answered_at for a in traffic.answers if a.status == 202 and a.sent_at > silent_at)
    assert {answer.status for answer in refused} <= {503}
    assert max([answer.answered_at for answer in refused], default=silent_at) - silent_at < LONGEST_SILENCE_SECONDS
    assert first_accepted - silent_at < LONGEST_SILENCE_SECONDS
    assert max(answer.answered_at - answer.sent_at for answer in traffic.answers) < LONGEST_ANSWER_SECONDS
    assert proxy.opened == opened + 1
    assert onestock.receiver.child.exit_status is None
    accepted = {answer.event_id for answer in traffic.answers if answer.status == 202}
    wait_until(lambda: accepted <= worker.handled(), within=60)
