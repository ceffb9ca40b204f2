"""Everything that the services can say: each situation is brought about once, and what was printed is kept."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from google.pubsub_v1 import PublisherClient

from relay.local.services import start_service
from relay.local.simulator import Simulator, Status
from relay.receiver.signature import sign
from relay.settings.receiver import SignedString
from tests.support.faulty_hook import PLANTED_FAULT
from tests.support.log_entries import Entry, entry_of
from tests.support.outcomes.by_event_type import SLOW_SECONDS
from tests.support.parts import HASH_KEY, PubSub, Service
from tests.support.ports import free_port
from tests.support.token_issuer import AUDIENCE, EMAIL, TokenIssuer
from tests.support.waiting import wait_until

PROJECT = "test-relay"
ORDER = "ORD-1001"
MAX_BODY_BYTES = 2_000


@dataclass
class Said:
    """The entries that the lines become in Cloud Logging, and how many requests were answered."""

    entries: list[Entry] = field(default_factory=list)
    webhooks: int = 0
    pushes: int = 0
    event_id: str = ""
    """The event that went all the way, of order ORDER."""


@dataclass
class Stage:
    """The services, and what is done to them."""

    pubsub: PubSub
    receiver: Service
    worker: Service
    cut_off_worker: Service
    """It has no store and asks for tokens."""
    issuer: TokenIssuer
    onestock: Simulator
    said: Said = field(default_factory=Said)

    def send(
        self, event_type: str, body: bytes = b'{"order_id": "A-1"}', *, key: bytes = HASH_KEY, age: int = 0
    ) -> int:
        """Send a webhook and return the answer's status."""
        stamp = int(time.time()) - age
        header = sign(body, keys=[key], timestamp=stamp, signed_string=SignedString.TIMESTAMP_BODY)
        return self.send_with({"Onestock-Signature": header}, event_type, body).status_code

    def send_with(self, headers: dict[str, str], event_type: str, body: bytes) -> requests.Response:
        """Send a webhook under headers of the caller's."""
        self.said.webhooks += 1
        url = f"http://127.0.0.1:{self.receiver.port}/webhooks/onestock/{event_type}"
        return requests.post(url, data=body, headers=headers, timeout=15)

    def push(self, event_type: str, *, to: Service | None = None, token: str = "", **content: Any) -> int:
        """Push an event to a worker as Pub/Sub would, and return the answer's status."""
        body = json.dumps({"order_id": f"{event_type}-1", **content}).encode()
        attributes = {"event_type": event_type, "received_at": datetime.now(UTC).isoformat()}
        message = {"data": base64.b64encode(body).decode(), "attributes": attributes, "messageId": "1"}
        return self.push_raw(json.dumps({"message": message, "subscription": "s"}), to=to, token=token)

    def push_raw(self, envelope: str, *, to: Service | None = None, token: str = "") -> int:
        """Push what may be no envelope."""
        self.said.pushes += 1
        url = f"http://127.0.0.1:{(to or self.worker).port}/pubsub/push"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.post(url, data=envelope, headers=headers, timeout=15).status_code

    def keep(self, service: Service, name: str) -> None:
        """Keep what a service has printed so far."""
        lines = service.child.output.read_text().splitlines()
        self.said.entries += [entry_of(line, service=name, project=PROJECT) for line in lines]

    def break_off(self) -> None:
        """Send half of a webhook and hang up."""
        self.said.webhooks += 1
        head = b"POST /webhooks/onestock/fine HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
        with socket.create_connection(("127.0.0.1", self.receiver.port), timeout=5) as connection:
            connection.sendall(head)


def webhooks(stage: Stage) -> None:
    """Bring about every end of a webhook."""
    body = json.dumps({"order_id": ORDER, "new_state": "placed"}).encode()
    statuses = [
        stage.send("fine", body),
        stage.send("fine", key=b"another-test-key"),
        stage.send("fine", age=100_000),
        stage.send_with({}, "fine", b"{}").status_code,
        stage.send("fine", b"x" * (MAX_BODY_BYTES + 1)),
        stage.send(PLANTED_FAULT),
    ]
    stage.break_off()
    assert statuses == [202, 401, 401, 401, 413, 503]


def deliveries(stage: Stage) -> None:
    """Bring about every end of a delivery."""
    assert stage.push("fine") == 204
    assert stage.push("fine") == 204
    assert stage.push("half_fine") == 503
    assert stage.push("half_fine", mended=True) == 204
    assert stage.push("failing") == 503
    assert stage.push("retried") == 503
    assert stage.push("rejected") == 204
    assert stage.push("nobody_handles_this") == 204
    assert stage.push("latest", date=1_767_225_600) == 204
    assert stage.push("latest", date=1_767_225_599) == 204
    assert stage.push("slow") == 503
    assert stage.push("slow") == 503
    assert stage.push("slow", number=2) == 503
    assert stage.push("fine", number=2) == 503
    wait_until(lambda: stage.push("fine", number=3) == 204)
    assert stage.push(PLANTED_FAULT) == 503
    assert stage.push_raw("no envelope") == 400
    assert stage.push_raw("x" * 300_000) == 400
    PublisherClient().delete_topic(topic=stage.pubsub.topology.dead_letter_topic_path)
    assert stage.push("rejected_in_vain") == 503
    assert stage.push("fine", to=stage.cut_off_worker) == 401
    assert stage.push("fine", to=stage.cut_off_worker, token=stage.issuer.token(email="x@example.com")) == 403
    assert stage.push("fine", to=stage.cut_off_worker, token=stage.issuer.token()) == 503


def looks(stage: Stage) -> None:
    """Let the watchdog find every status of a webhook, and then no OneStock."""
    for status in Status:
        name = f"is_{status}"
        stage.onestock.site.create_webhook(name, f"https://receiver.example/{name}", keys=[HASH_KEY], status=status)
    url = f"http://127.0.0.1:{stage.worker.port}/onestock/watchdog"
    found = requests.post(url, timeout=15)
    stage.onestock.fail(500, path="/v3/webhooks", times=5)
    failed = requests.post(url, timeout=15)
    assert (found.status_code, failed.status_code) == (200, 503)


def outage(stage: Stage) -> None:
    """Let Pub/Sub not answer while more comes than fits. What it stores after all is delivered later: do this last."""
    stage.pubsub.emulator.freeze()
    try:
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(stage.send, "fine", b"x" * (MAX_BODY_BYTES - number)) for number in range(3)]
        assert [sent.result() for sent in waiting] == [503, 503, 503]
    finally:
        stage.pubsub.emulator.thaw()


def everything(pubsub: PubSub, worker_port: int, folder: Path) -> Iterator[Said]:
    """Start the services under gunicorn, bring everything about, and give what they said."""
    with ExitStack() as parts:
        issuer = parts.enter_context(TokenIssuer().published())
        onestock = parts.enter_context(Simulator.start())

        def started(name: str, port: int, **changes: str) -> Service:
            settings = settings_for(pubsub) | changes
            output, app = folder / f"{name}-{port}.log", f"tests.support.faulty_hook:{name}()"
            child = start_service(name, port=port, settings=settings, output=output, app=app)
            return Service(parts.enter_context(child), port)

        stage = Stage(
            pubsub=pubsub,
            worker=started("worker", worker_port, **onestock.environ, ONESTOCK_API_BUDGET_SECONDS="0.4"),
            receiver=started("receiver", free_port()),
            cut_off_worker=started("worker", free_port(), **cut_off(issuer)),
            issuer=issuer,
            onestock=onestock,
        )
        webhooks(stage)
        stage.said.pushes += 1
        delivered = wait_until(lambda: stage.worker.canonical("delivery"))
        stage.said.event_id = delivered[0]["event_id"]
        deliveries(stage)
        looks(stage)
        stage.keep(stage.worker, "onestock-worker")
        stage.keep(stage.cut_off_worker, "onestock-worker")
        outage(stage)
        wait_until(lambda: len(stage.receiver.canonical("webhook")) == stage.said.webhooks)
        stage.keep(stage.receiver, "onestock-receiver")
        yield stage.said


def settings_for(pubsub: PubSub) -> dict[str, str]:
    """Return what both services are started with: small limits, so that all is quick."""
    return {
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "PUBSUB_TOPIC": pubsub.topology.topic,
        "PUBSUB_DEAD_LETTER_TOPIC": pubsub.topology.dead_letter_topic,
        "PUBSUB_EMULATOR_HOST": pubsub.emulator.host,
        "ONESTOCK_HASH_KEYS": HASH_KEY.decode(),
        "PUBLISH_BUDGET_SECONDS": "1",
        "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "MAX_BYTES_UNDER_WAY": str(2 * MAX_BODY_BYTES),
        "HANDLERS_PACKAGE": "tests.support.outcomes",
        "HANDLER_BUDGET_SECONDS": str(SLOW_SECONDS / 3),
        "MAX_OVERDUE_RUNS": "2",
        "DESTINATION_BUDGET_SECONDS": "0.1",
        "PUSH_AUTH": "off",
    }


def cut_off(issuer: TokenIssuer) -> dict[str, str]:
    """Return what makes a worker ask for tokens and find no store."""
    return {
        "PUSH_AUTH": "oidc",
        "PUSH_AUDIENCE": AUDIENCE,
        "PUSH_SERVICE_ACCOUNT": EMAIL,
        "PUSH_CERTIFICATES_URL": issuer.url,
        "IDEMPOTENCY_STORE": "firestore",
        "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{free_port()}",
        "HANDLER_BUDGET_SECONDS": "8",
    }
