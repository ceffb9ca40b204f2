"""The real parts that the tests of promises are made of: topics on the emulator, services, a OneStock that signs."""

import base64
import json
import os
import subprocess
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from relay.local.emulator import Emulator
from relay.local.processes import Child
from relay.local.services import ROOT
from relay.local.simulator import send
from relay.pubsub import provisioning
from relay.topology import EMULATOR_DEAD_LETTER_RETENTION_SECONDS, MAX_DELIVERY_ATTEMPTS, Topology
from tests.support.warm_relay import run_relay

HASH_KEY = b"test-key-of-the-suite"


class PubSub:
    """The emulator, and the topics of one test."""

    def __init__(self, emulator: Emulator, wanted: Topology) -> None:
        self.emulator = emulator
        self.topology = wanted

    def dead_letters(self) -> list[dict[str, Any]]:
        """Pull what lies on the dead-letter subscription, and acknowledge it."""
        url = f"http://{self.emulator.host}/v1/{self.topology.dead_letter_subscription_path}"
        body = {"maxMessages": 1000, "returnImmediately": True}
        received = requests.post(f"{url}:pull", json=body, timeout=10).json().get("receivedMessages", [])
        if received:
            ids = [message["ackId"] for message in received]
            requests.post(f"{url}:acknowledge", json={"ackIds": ids}, timeout=10).raise_for_status()
        return [message["message"] for message in received]


def new_pubsub(
    emulator: Emulator,
    worker_port: int,
    *,
    backoff_seconds: tuple[int, int] = (1, 2),
    max_delivery_attempts: int = MAX_DELIVERY_ATTEMPTS,
) -> PubSub:
    """Make topics and subscriptions of their own, which push to 127.0.0.1."""
    unique = f"test-{uuid.uuid4().hex[:12]}"
    wanted = Topology(
        project="test-relay",
        topic=f"{unique}-events",
        subscription=f"{unique}-push",
        dead_letter_topic=f"{unique}-dead",
        dead_letter_subscription=f"{unique}-dead-pull",
        push_endpoint=f"http://127.0.0.1:{worker_port}/pubsub/push",
        min_backoff_seconds=backoff_seconds[0],
        max_backoff_seconds=backoff_seconds[1],
        max_delivery_attempts=max_delivery_attempts,
        dead_letter_retention_seconds=EMULATOR_DEAD_LETTER_RETENTION_SECONDS,
    )
    provisioning.create(wanted)
    return PubSub(emulator, wanted)


@dataclass
class Service:
    """A running service: its process, its address, and the log lines that it printed."""

    child: Child
    port: int

    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines so far."""
        text = self.child.output.read_text(errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    def canonical(self, line: str) -> list[dict[str, Any]]:
        """Return the webhook or delivery lines so far."""
        return [entry for entry in self.lines() if entry.get("line") == line]

    def count(self, line: str) -> int:
        """Return how many webhook or delivery lines there are so far; quick."""
        return self.child.output.read_bytes().count(f'"line": "{line}"'.encode())

    def handled(self) -> set[str]:
        """Return the ids of the events that were handled so far."""
        return {entry["event_id"] for entry in self.canonical("delivery") if entry["outcome"] == "handled"}

    @property
    def has_logged_an_exception(self) -> bool:
        return "Traceback" in self.child.output.read_text(errors="replace")


@dataclass
class OneStock:
    """Sends signed webhooks to the receiver."""

    receiver: Service
    local: threading.local = field(default_factory=threading.local)
    sessions: list[requests.Session] = field(default_factory=list)

    def send(self, body: bytes, event_type: str = "order_state_changed") -> requests.Response:
        """Send one signed message on this thread's connection."""
        return send(self._session(), self.url(event_type), body, keys=(HASH_KEY,))

    def send_with_header(self, body: bytes, header: bytes | None) -> requests.Response:
        """Send one message under a signature header of the caller's."""
        headers: dict[str, str | bytes] = {} if header is None else {"Onestock-Signature": header}
        return self._session().post(self.url("order_state_changed"), data=body, headers=headers, timeout=15)

    def url(self, event_type: str) -> str:
        return f"http://127.0.0.1:{self.receiver.port}/webhooks/onestock/{event_type}"

    def _session(self) -> requests.Session:
        if not hasattr(self.local, "session"):
            self.local.session = requests.Session()
            self.sessions.append(self.local.session)
        session: requests.Session = self.local.session
        return session

    def close(self) -> None:
        """Hang up, so that the receiver need not wait for more requests when it ends."""
        for session in self.sessions:
            session.close()


@dataclass
class Tool:
    """`relay` as a person on call runs it."""

    environ: dict[str, str]
    folder: Path = ROOT

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        environ = {**self.environ, "PATH": os.environ["PATH"]}
        return run_relay(arguments, environ=environ, folder=self.folder, stdin=stdin, timeout_seconds=300)

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """Run one command with --json, and return what it printed."""
        ended = self.run(*arguments, "--json", stdin=stdin)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)


def order_event(order_id: str, step: int = 0, **more: Any) -> bytes:
    """Return an invented body; `step` tells the events of one order apart."""
    fields = {"order_id": order_id, "date": 1735689600 + step, "old_state": f"s{step}", "new_state": f"s{step + 1}"}
    return json.dumps({**fields, **more}).encode()


def data_of(message: dict[str, Any]) -> bytes:
    """Return a pulled message's data."""
    return base64.b64decode(message.get("data", ""))
