"""A rotation of the hash key while events flow: no message is refused, none is lost, and the old key is gone."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from relay.local.services import start_service
from relay.local.serving import serving
from relay.local.simulator import Attempt, Simulator, Status
from tests.support.parts import Service, Tool
from tests.support.ports import free_port
from tests.support.waiting import wait_until

EVENT_TYPES = ("order_state_changed", "parcel_state_changed")
HOP_BY_HOP = {"host", "connection", "content-length"}


class Front:
    """What Cloud Run does in front of a service: a new revision takes over between two requests."""

    def __init__(self) -> None:
        self.backend = 0
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with requests.Session() as self.session:
                    super().handle()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
                url = f"http://127.0.0.1:{front.backend}{self.path}"
                answer = self.session.post(url, data=body, headers=headers, timeout=15)
                self.send_response(answer.status_code)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.handler = Handler
        self.url = ""


@pytest.fixture
def front() -> Iterator[Front]:
    running = Front()
    with serving(running.handler) as url:
        running.url = f"{url}/webhooks/onestock"
        yield running


Deploy = Callable[[str], Service]


@pytest.fixture
def deploy(settings: dict[str, str], front: Front, tmp_path: Path) -> Iterator[Deploy]:
    """Deploy the receiver with these hash keys, and let it take over."""
    with contextlib.ExitStack() as revisions:

        def new_revision(keys: str) -> Service:
            port = free_port()
            environ = {**settings, "ONESTOCK_HASH_KEYS": keys}
            output = tmp_path / f"receiver-{port}.log"
            child = revisions.enter_context(start_service("receiver", port=port, settings=environ, output=output))
            front.backend = port
            return Service(child, port)

        yield new_revision


@pytest.fixture
def attempts() -> list[Attempt]:
    return []


@pytest.fixture
def simulator(attempts: list[Attempt], front: Front) -> Iterator[Simulator]:
    with Simulator.start(report=attempts.append) as running:
        for event_type in EVENT_TYPES:
            running.site.create_webhook(event_type, f"{front.url}/{event_type}", keys=[b"test-old-key"])
        yield running


@contextlib.contextmanager
def load(simulator: Simulator) -> Iterator[list[int]]:
    """Let things happen at OneStock, fifty a second, or as many as a busy machine delivers, until the block ends."""
    emitted: list[int] = []
    stopping = threading.Event()

    def emit() -> None:
        while not stopping.wait(0.02):
            serving = [webhook for webhook in simulator.site.webhooks.values() if webhook.status is Status.ENABLED]
            if any(webhook.waiting > 3 for webhook in serving):
                continue
            number = len(emitted)
            simulator.site.emit(EVENT_TYPES[number % 2], {"order_id": f"ORD-{number % 20}", "number": number})
            emitted.append(number)

    thread = threading.Thread(target=emit)
    thread.start()
    try:
        yield emitted
    finally:
        stopping.set()
        thread.join()


def arrived(attempts: list[Attempt]) -> set[int]:
    return {content["number"] for attempt in attempts if "number" in (content := json.loads(attempt.body))}


def test_a_key_is_rotated_under_load_and_nothing_is_refused(
    deploy: Deploy, simulator: Simulator, front: Front, attempts: list[Attempt], tmp_path: Path
) -> None:
    environ = {
        **simulator.environ,
        "ONESTOCK_WEBHOOK_URL": front.url,
        "ONESTOCK_HASH_KEYS": "test-new-key,test-old-key",
    }
    rotate = ("webhooks", "rotate-key", "--overlap", "1", "--journal", str(tmp_path / "journal.json"), "--yes")

    revisions = [deploy("test-old-key")]

    with load(simulator) as emitted:
        too_early = Tool(environ).run(*rotate)
        revisions.append(deploy("test-new-key,test-old-key"))
        rotated = Tool(environ).run(*rotate)
        revisions.append(deploy("test-new-key"))
        before = len(emitted)
        wait_until(lambda: len(emitted) > before + 50)
    wait_until(lambda: simulator.site.is_idle)

    assert (too_early.returncode, rotated.returncode) == (2, 0), rotated.stderr
    assert "answers 401 to the new key" in too_early.stderr
    assert {attempt.status for attempt in attempts} == {202}
    assert arrived(attempts) == set(emitted)
    status_of = {webhook.id: (webhook.status, webhook.keys) for webhook in simulator.site.webhooks.values()}
    assert [status for status, _ in status_of.values()] == [Status.DISABLED] * 2 + [Status.ENABLED] * 2
    assert status_of["WH-3"][1] == status_of["WH-4"][1] == (b"test-new-key",)
    # Only the probe of the command that came too early was refused: by the revision that knew the old key alone.
    refused = [len([line for line in made.canonical("webhook") if line["status"] != 202]) for made in revisions]
    assert refused == [1, 0, 0]
    assert not (tmp_path / "journal.json").exists()
