"""A redrive of many dead letters by the command itself, through a Pub/Sub whose publishes take longer."""

import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage

from relay.local.processes import Child
from tests.support.parts import PubSub, order_event
from tests.support.pubsub_proxy import PUBLISH, Forward, PubSubProxy

EVENTS_OF_AN_ORDER = 2
MESSAGES_IN_A_REQUEST = 1_000
TIME_LIMIT_SECONDS = 300


@dataclass
class Measured:
    """What a redrive took, and what it published."""

    output: str
    exit_status: int | None
    seconds: float
    """From the start of the process to its end."""
    memory_before_bytes: int
    """Resident, before the first publish: the dead letters are read."""
    memory_after_bytes: int
    """Resident, at the last look before the process ended."""
    published: dict[str, list[str]]
    """The event ids of each order, in the sequence in which Pub/Sub confirmed them."""

    @property
    def seconds_of_publishing(self) -> float:
        """From the first publish to the last."""
        return self.last_publish_at - self.first_publish_at

    most_at_once: int = 0
    """How many publishes were under way side by side, at most."""
    first_publish_at: float = 0
    last_publish_at: float = 0


def put(pubsub: PubSub, count: int) -> None:
    """Put `count` dead letters of half as many orders on the topic, the later event of each order first."""
    received_at = datetime.now(UTC) - timedelta(hours=1)

    def messages() -> Iterator[PubsubMessage]:
        for step in reversed(range(EVENTS_OF_AN_ORDER)):
            for order in range(count // EVENTS_OF_AN_ORDER):
                yield PubsubMessage(
                    data=order_event(f"M-{order}", step),
                    attributes={
                        "event_type": "order_state_changed",
                        "event_id": f"M-{order}-{step}",
                        "received_at": (received_at + timedelta(seconds=step)).isoformat(),
                        "dead_letter_reason": "invented: the shop knows no such order",
                        "dead_letter_handler": "refund",
                    },
                )

    all_of_them = list(messages())
    for start in range(0, count, MESSAGES_IN_A_REQUEST):
        request = PublishRequest(
            topic=pubsub.topology.dead_letter_topic_path, messages=all_of_them[start : start + MESSAGES_IN_A_REQUEST]
        )
        PublisherClient().publish(request=request, timeout=30)


def redrive(pubsub: PubSub, environ: dict[str, str], folder: Path, *, publish_seconds: float) -> Measured:
    """Run `relay dead-letters redrive` without a limit of its rate; each publish takes `publish_seconds` longer."""
    measured = Measured("", None, 0, 0, 0, defaultdict(list))
    lock = threading.Lock()
    under_way: set[int] = set()

    def publish(request: bytes, forward: Forward) -> bytes:
        measured.first_publish_at = measured.first_publish_at or time.monotonic()
        with lock:
            under_way.add(threading.get_ident())
            measured.most_at_once = max(measured.most_at_once, len(under_way))
        time.sleep(publish_seconds)
        answer = forward(request)
        with lock:
            under_way.remove(threading.get_ident())
        message = PublishRequest.pb().FromString(request).messages[0]
        measured.published[message.ordering_key].append(message.attributes["event_id"])
        measured.last_publish_at = time.monotonic()
        return answer

    command = [sys.executable, "-m", "relay", "dead-letters", "redrive", "--yes", "--rate", "0"]
    with PubSubProxy(pubsub.emulator.host, answers={PUBLISH: publish}).running() as proxy:
        started = time.monotonic()
        environ = {**environ, "PUBSUB_EMULATOR_HOST": proxy.host}
        with Child("redrive", command, environ=environ, output=folder / "redrive.log") as child:
            while (ended := child.wait(0.1)) is None and time.monotonic() - started < TIME_LIMIT_SECONDS:
                resident = _resident_bytes(child.pid)
                measured.memory_after_bytes = resident or measured.memory_after_bytes
                if not measured.first_publish_at:
                    measured.memory_before_bytes = measured.memory_after_bytes
        measured.exit_status, measured.seconds = ended, time.monotonic() - started
    measured.output = (folder / "redrive.log").read_text()
    return measured


def _resident_bytes(pid: int) -> int:
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
