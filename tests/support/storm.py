"""A stream of webhooks while the parts break: what was sent, what got a 202, and the faults themselves."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import requests

from relay.local.emulator import Emulator
from relay.local.processes import Child
from relay.local.services import start_service
from relay.local.simulator import send
from tests.support.parts import HASH_KEY, order_event

SENDERS = 8
PAUSE_SECONDS = 0.2
GIVE_UP_SECONDS = 240
EVENT_TYPES = ("order_state_changed", "parcel_state_changed")


class Kind(StrEnum):
    """What will become of an event."""

    READABLE = "readable"
    REPAIRABLE = "repairable"
    """Rejected by every handler until the shop is repaired."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Sent:
    kind: Kind
    event_type: str
    body: bytes
    times: int


def orders(count: int, *, events_of_an_order: int) -> Iterator[list[Sent]]:
    """Yield invented orders: 5 % of the events are unreadable, 2 % repairable, and every tenth is sent twice.

    Of every other order the parcel changes its state: that event type has one handler only.
    """
    number = 0
    for order in range(count):
        events = []
        event_type = EVENT_TYPES[order % 2]
        for step in range(events_of_an_order):
            number += 1
            kind = Kind.READABLE
            body = order_event(f"S-{order}", step)
            if number % 20 == 7:
                kind, body = Kind.UNREADABLE, f"unreadable {number}".encode()
            elif number % 50 == 3:
                kind, body = Kind.REPAIRABLE, order_event(f"S-{order}", step, reject=True)
            events.append(Sent(kind, event_type, body, times=2 if number % 10 == 0 else 1))
        yield events


@dataclass
class RunningService:
    """A service that is killed and started again, on the same port, with a log of its own each time."""

    name: str
    port: int
    settings: dict[str, str]
    folder: Path
    kills: dict[int, float] = field(default_factory=dict)
    """The process group that was killed, and when (Unix seconds)."""
    child: Child = field(init=False)

    def start(self) -> None:
        output = self.folder / f"{self.name}-{len(self.kills)}.log"
        self.child = start_service(self.name, port=self.port, settings=self.settings, output=output)

    def kill(self) -> None:
        self.child.signal(signal.SIGKILL)
        self.child.wait(10)
        self.kills[self.child.pid] = time.time()
        self.start()

    @contextmanager
    def running(self) -> Iterator["RunningService"]:
        self.start()
        try:
            yield self
        finally:
            self.child.stop()

    @property
    def logs(self) -> str:
        return "".join(file.read_text() for file in self.folder.glob(f"{self.name}-*.log"))


@contextmanager
def frozen(emulator: Emulator) -> Iterator[None]:
    emulator.freeze()
    try:
        yield
    finally:
        emulator.thaw()


class Storm:
    """Sends orders, each in sequence and repeated until its 202, as OneStock does."""

    def __init__(self, receiver_port: int, *, per_second: float = 0) -> None:
        self.accepted: dict[Kind, set[tuple[str, str]]] = {kind: set() for kind in Kind}
        self.webhooks = 0
        self.refusals = 0
        self._url = f"http://127.0.0.1:{receiver_port}/webhooks/onestock"
        self._seconds_between = SENDERS / per_second if per_second else 0.0
        self._lock = threading.Lock()

    def send(self, source: Iterator[list[Sent]]) -> None:
        """Send everything from `source`, order by order; return once each event has got its 202."""
        turn = threading.Lock()

        def send_some() -> None:
            while True:
                with turn:
                    events = next(source, None)
                if events is None:
                    return
                self._send_order(events)

        with ThreadPoolExecutor(SENDERS) as pool:
            for sender in [pool.submit(send_some) for _ in range(SENDERS)]:
                sender.result()

    @property
    def count(self) -> int:
        """How many distinct events got a 202."""
        return sum(len(events) for events in self.accepted.values())

    def ids(self, *kinds: Kind) -> set[str]:
        """Return the ids of the events of these kinds that got a 202."""
        return {event_id for kind in kinds for _, event_id in self.accepted[kind]}

    def expected(self, *kinds: Kind) -> set[tuple[str, str]]:
        """Return each (handler, event id) that tests/shop owes to the events of these kinds."""
        return {
            (handler, event_id)
            for kind in kinds
            for event_type, event_id in self.accepted[kind]
            for handler in (("refund", "archive") if event_type == EVENT_TYPES[0] else ("archive",))
        }

    def has_sent(self, count: float) -> bool:
        """Return whether so many distinct events got a 202."""
        return self.count >= count

    def _send_order(self, events: list[Sent]) -> None:
        with requests.Session() as session:
            for event in events:
                for _ in range(event.times):
                    event_id = self._send_until_accepted(session, event)
                    with self._lock:
                        self.webhooks += 1
                        self.accepted[event.kind].add((event.event_type, event_id))
                time.sleep(random.uniform(0, 2 * self._seconds_between))

    def _send_until_accepted(self, session: requests.Session, event: Sent) -> str:
        url = f"{self._url}/{event.event_type}"
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                response = send(session, url, event.body, keys=(HASH_KEY,))
            except requests.RequestException:
                response = None
            if response is not None and response.status_code == 202:
                event_id: str = response.json()["event_id"]
                return event_id
            assert response is None or response.status_code == 503, response.text
            assert time.monotonic() < deadline, "no 202 for one webhook in four minutes"
            with self._lock:
                self.refusals += 1
            time.sleep(PAUSE_SECONDS)
