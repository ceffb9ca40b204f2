"""Without an emulator: credentials, TLS, one connection, under real gunicorn. Only Google's servers are stand-ins."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
import requests

from relay.local.services import start_service
from tests.support.metadata_server import MetadataServer
from tests.support.parts import HASH_KEY, OneStock, Service
from tests.support.ports import free_port
from tests.support.pubsub_server import Call, Certificate, PubSubServer, refusing
from tests.support.token_server import TokenServer
from tests.support.waiting import wait_until

WEBHOOKS = 200
LONGEST_ANSWER_SECONDS = 12
EVENT = b'{"order_id": "ORD-1"}'

Start = Callable[..., OneStock]


@pytest.fixture
def google(tmp_path: Path) -> Iterator[PubSubServer]:
    certificate = Certificate.of("localhost")
    (tmp_path / "google.pem").write_bytes(certificate.certificate)
    with PubSubServer().running(certificate) as server:
        yield server


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with TokenServer().running() as server:
        yield server


@pytest.fixture
def metadata() -> Iterator[MetadataServer]:
    with MetadataServer().running() as server:
        yield server


@pytest.fixture
def account(tokens: TokenServer, tmp_path: Path) -> dict[str, str]:
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(tokens.write_account(tmp_path / "account.json"))}


@pytest.fixture
def start(google: PubSubServer, tmp_path: Path) -> Iterator[Start]:
    """Start a receiver that publishes to the stand-in, with the credentials that `environ` leads to."""
    with ExitStack() as running:

        def started(environ: dict[str, str], endpoint: str = google.host) -> OneStock:
            port = free_port()
            settings = {
                "GOOGLE_CLOUD_PROJECT": "test-relay",
                "PUBSUB_TOPIC": "events",
                "PUBSUB_ENDPOINT": endpoint,
                "ONESTOCK_HASH_KEYS": HASH_KEY.decode(),
                "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(tmp_path / "google.pem"),
                "HOME": str(tmp_path),
                **environ,
            }
            child = start_service("receiver", port=port, settings=settings, output=tmp_path / "receiver.log")
            onestock = OneStock(Service(running.enter_context(child), port))
            running.callback(onestock.close)
            return onestock

        yield started


def test_webhooks_are_published_over_one_tls_connection_with_one_token(
    start: Start, google: PubSubServer, account: dict[str, str]
) -> None:
    onestock = start(account)
    bodies = [json.dumps({"order_id": f"ORD-{number}", "date": 1}).encode() for number in range(WEBHOOKS)]

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(onestock.send, bodies))

    assert {answer.status_code for answer in answers} == {202}
    assert sorted(m.data for call in google.calls for m in call.request.messages) == sorted(bodies)
    assert {call.request.topic for call in google.calls} == {"projects/test-relay/topics/events"}
    assert {call.authorization for call in google.calls} == {"Bearer test-token-1"}
    assert len(google.peers) == 1


def test_token_and_connection_are_there_before_the_first_webhook(
    start: Start, google: PubSubServer, account: dict[str, str], tokens: TokenServer
) -> None:
    onestock = start({**account, "PUBLISH_BUDGET_SECONDS": "0.5"})
    tokens.answering.clear()

    assert tokens.asked == 1
    assert onestock.send(EVENT).status_code == 202
    assert len(google.calls) == 1


def test_a_revoked_token_is_replaced_within_the_webhook(
    start: Start, google: PubSubServer, account: dict[str, str]
) -> None:
    refuse = refusing(grpc.StatusCode.UNAUTHENTICATED, "revoked")

    def refuse_first(call: Call, context: grpc.ServicerContext) -> None:
        if call.authorization == "Bearer test-token-1":
            refuse(call, context)

    google.behaviours = [refuse_first]
    onestock = start(account)

    answer = onestock.send(EVENT)

    assert answer.status_code == 202
    assert google.calls[-1].authorization == "Bearer test-token-2"
    assert "test-token" not in onestock.receiver.child.output.read_text()


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "NOT_FOUND"])
def test_what_only_an_operator_can_mend_is_a_503_at_once_and_the_line_says_why(
    start: Start, google: PubSubServer, account: dict[str, str], code: str
) -> None:
    google.behaviours = [refusing(grpc.StatusCode[code], "invented: look at the topic")]
    onestock = start(account)

    answer = onestock.send(EVENT)

    [line] = onestock.receiver.canonical("webhook")
    assert (answer.status_code, len(google.calls)) == (503, 1)
    assert (line["outcome"], line["severity"], line["content"]) == ("not_published", "ERROR", EVENT.decode())
    assert "invented: look at the topic" in line["reason"]


def test_a_silent_metadata_server_holds_neither_the_start_nor_an_answer(start: Start, metadata: MetadataServer) -> None:
    onestock = start(metadata.environ)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: timed(onestock), range(8)))
    healthy = requests.get(f"http://127.0.0.1:{onestock.receiver.port}/health", timeout=4)
    metadata.answering.set()

    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < LONGEST_ANSWER_SECONDS
    assert healthy.ok
    assert {"no access token" in line["reason"] for line in onestock.receiver.canonical("webhook")} == {True}
    wait_until(lambda: onestock.send(EVENT).status_code == 202, within=30)


def test_a_token_that_expires_while_the_metadata_server_is_silent_holds_no_answer(
    start: Start, metadata: MetadataServer
) -> None:
    metadata.answering.set()
    metadata.lifetime_seconds = 5
    onestock = start(metadata.environ)
    metadata.answering.clear()
    while_valid = onestock.send(EVENT)

    answers = [timed(onestock)]
    while answers[-1][0] == 202:
        answers.append(timed(onestock))
    healthy = requests.get(f"http://127.0.0.1:{onestock.receiver.port}/health", timeout=4)
    metadata.lifetime_seconds = 3_600
    metadata.answering.set()

    assert (while_valid.status_code, answers[-1][0], healthy.ok) == (202, 503, True)
    assert max(seconds for _, seconds in answers) < LONGEST_ANSWER_SECONDS
    wait_until(lambda: onestock.send(EVENT).status_code == 202, within=30)


def test_a_name_that_is_never_resolved_holds_no_answer(start: Start, account: dict[str, str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        onestock = start(account, endpoint=f"dns://127.0.0.1:{silent.getsockname()[1]}/pubsub.example.com:443")

        status, seconds = timed(onestock)
        asked = silent.recv(1_000)

    assert (status, b"pubsub" in asked) == (503, True)
    assert seconds < LONGEST_ANSWER_SECONDS
    assert requests.get(f"http://127.0.0.1:{onestock.receiver.port}/health", timeout=4).ok


def timed(onestock: OneStock) -> tuple[int, float]:
    started = time.monotonic()
    status = onestock.send(EVENT).status_code
    return status, time.monotonic() - started
