"""`make run`: OneStock, receiver, Pub/Sub, worker and the customer's system; one line for each step, until Ctrl-C."""

import base64
import contextlib
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from relay.errors import ConfigurationError
from relay.local import demo, display
from relay.local.customer import CustomerSystem, Received
from relay.local.emulator import PUBSUB, Emulator
from relay.local.processes import Child, free_port, is_taken
from relay.local.services import start_service
from relay.local.simulator import Attempt, Schedule, Simulator, Site
from relay.pubsub import provisioning
from relay.settings.commands import ToolSettings
from relay.topology import Topology

TEST_HASH_KEY = "test-key-of-the-local-run"
# OneStock's half hour of retries in half a minute; its clock goes right, so that its dates are those of now.
SCHEDULE = Schedule(retry_intervals_seconds=[0.02 * seconds for seconds in Schedule().retry_intervals_seconds])
_FOLLOW_SECONDS = 0.05

_print_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """The ports to use on 127.0.0.1, events a second, and how many to send (0: until Ctrl-C)."""

    receiver_port: int
    worker_port: int
    emulator_port: int
    events_per_second: float
    events: int

    def run(self) -> int:
        """Run until Ctrl-C, or until the events are sent and handled; return the exit status.

        Raises ConfigurationError in one line for a port that is taken, a missing emulator, a service that fails.
        """
        self._check_ports()
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stopping.set())
        with tempfile.TemporaryDirectory(prefix="relay-") as folder, contextlib.ExitStack() as parts:
            onestock = parts.enter_context(Simulator.start(schedule=SCHEDULE, report=_show_attempt))
            shop = onestock.environ | _customer(parts)
            services = self._start(parts, Path(folder), shop, stopping)
            if stopping.is_set():
                return 0
            way = f"OneStock -> http://127.0.0.1:{self.receiver_port} -> Pub/Sub -> worker -> the customer's system"
            _say(display.line("ready", way))
            _say(display.line("", "Ctrl-C stops everything"))
            self._send(parts, onestock.site, stopping)
            return self._watch(services, stopping)

    def _check_ports(self) -> None:
        wanted = {"RECEIVER_PORT": self.receiver_port, "WORKER_PORT": self.worker_port}
        if not os.environ.get("PUBSUB_EMULATOR_HOST"):
            wanted["EMULATOR_PORT"] = self.emulator_port
        taken = {name: port for name, port in wanted.items() if is_taken(port)}
        if taken:
            raise ConfigurationError(
                f"Ports are taken: {', '.join(f'{name}={port}' for name, port in taken.items())}. Stop what uses them, "
                f"or choose others: {' '.join(f'{name}={free_port()}' for name in taken)} make run"
            )

    def _start(
        self, parts: contextlib.ExitStack, folder: Path, shop: Mapping[str, str], stopping: threading.Event
    ) -> list[Child]:
        _say(display.line("starting", "the Pub/Sub emulator, the receiver and the worker"))
        emulator = parts.enter_context(Emulator.start(PUBSUB, port=self.emulator_port, output=folder / "emulator.log"))
        # The Pub/Sub client reads it from the environment of its process.
        os.environ["PUBSUB_EMULATOR_HOST"] = emulator.host
        wanted = Topology(
            project="local-relay",
            push_endpoint=f"http://127.0.0.1:{self.worker_port}/pubsub/push",
            min_backoff_seconds=1,
            max_backoff_seconds=5,
        )
        provisioning.create(wanted)
        settings = {
            "GOOGLE_CLOUD_PROJECT": wanted.project,
            "PUBSUB_TOPIC": wanted.topic,
            "PUBSUB_DEAD_LETTER_TOPIC": wanted.dead_letter_topic,
            "PUBSUB_DEAD_LETTER_SUBSCRIPTION": wanted.dead_letter_subscription,
            "PUBSUB_EMULATOR_HOST": emulator.host,
            "ONESTOCK_HASH_KEYS": TEST_HASH_KEY,
            "PUSH_AUTH": "off",
            **shop,
        }
        needed = [
            f"{field.alias}={settings[field.alias]}" for field in ToolSettings.model_fields.values() if field.alias
        ]
        _say(display.line("on call", f"{' '.join(needed)} python -m relay dead-letters list"))
        receiver = f"ONESTOCK_HASH_KEYS={TEST_HASH_KEY} RECEIVER_URL=http://127.0.0.1:{self.receiver_port}"
        _say(display.line("by hand", f"{receiver} python -m relay send order_state_changed --order ORD-1001"))
        services = []
        for name, port in (("worker", self.worker_port), ("receiver", self.receiver_port)):
            if stopping.is_set():
                break
            child = start_service(name, port=port, settings=settings, output=folder / f"{name}.log")
            services.append(parts.enter_context(child))
        return services

    def _send(self, parts: contextlib.ExitStack, site: Site, stopping: threading.Event) -> None:
        url = f"http://127.0.0.1:{self.receiver_port}/webhooks/onestock"
        for event_type in demo.EVENT_TYPES:
            site.create_webhook(event_type, f"{url}/{event_type}", keys=(TEST_HASH_KEY.encode(),))

        def feed() -> None:
            for number, step in enumerate(demo.steps(), start=1):
                step(site)
                if number == self.events or stopping.wait(1 / self.events_per_second):
                    break

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        # Before the services stop: OneStock would take that for failed attempts.
        parts.callback(site.close)
        parts.callback(feeder.join)
        parts.callback(stopping.set)

    def _watch(self, services: list[Child], stopping: threading.Event) -> int:
        """Show what the services log, until it is time to stop or one of them ends."""
        followers = [_follow(service.output) for service in services]
        settled = 0
        while not stopping.wait(_FOLLOW_SECONDS):
            for text in (text for follower in followers for text in next(follower)):
                settled += '"line":"delivery"' in text
                for shown in display.log_lines(text):
                    _say(shown)
            if self.events and settled >= self.events:
                break
            for service in services:
                if service.exit_status is not None:
                    last = " | ".join(service.output.read_text(errors="replace").splitlines()[-5:])
                    raise ConfigurationError(f"{service.name} ended unexpectedly; it printed: {last}")
        _say(display.line("stopping", "everything"))
        return 0


def _customer(parts: contextlib.ExitStack) -> dict[str, str]:
    """Start the customer's system, and return the worker's settings for handing over to it."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    url = parts.enter_context(CustomerSystem(secret, report=_show_hand_over).running())
    return {"REFUND_URL": f"{url}/refunds", "SHIPMENT_URL": f"{url}/shipments", "DESTINATION_SECRETS": secret}


def _show_hand_over(received: Received) -> None:
    _say(display.hand_over_line(received))


def _show_attempt(attempt: Attempt) -> None:
    for text in display.attempt_lines(attempt):
        _say(text)


def _say(text: str) -> None:
    with _print_lock:
        print(text, flush=True)


def _follow(file: Path) -> Iterator[list[str]]:
    """Yield the whole lines that were added to `file` since the last time."""
    with file.open(errors="replace") as source:
        rest = ""
        while True:
            *lines, rest = (rest + source.read()).split("\n")
            yield lines
