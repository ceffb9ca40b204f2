"""More than a receiver can hold is refused at once; its memory stays bounded, and /health and signed webhooks go on."""

import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from relay.settings.receiver import ReceiverSettings
from tests.support.parts import OneStock, PubSub, Service, order_event
from tests.support.storm import frozen
from tests.support.waiting import wait_until

MEBIBYTE = 1_048_576
POSTS = 40
BODY = b"x" * 20_000_000
MEMORY_BYTES = 400 * MEBIBYTE  # Of the 512 that the receiver has on Cloud Run.
AT_ONCE_SECONDS = 4.0  # Well below the 10 s that a webhook may wait for Pub/Sub, on a machine that others keep busy.
SLOTS = int(ReceiverSettings.model_fields["max_waiting_publishes"].default)


@pytest.fixture
def two_places(settings: dict[str, str]) -> None:
    settings["MAX_WAITING_PUBLISHES"] = "2"


def peak_memory_bytes(service: Service) -> int:
    """Return the most memory that gunicorn's worker process ever had."""
    [worker] = Path(f"/proc/{service.child.pid}/task/{service.child.pid}/children").read_text().split()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1_024


def chunks() -> Iterator[bytes]:
    for start in range(0, len(BODY), MEBIBYTE):
        yield BODY[start : start + MEBIBYTE]


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "in chunks"])
def test_large_unsigned_posts_in_parallel_do_not_fill_the_memory(onestock: OneStock, *, is_chunked: bool) -> None:
    def post(_: int) -> int:
        data = chunks() if is_chunked else BODY
        return requests.post(onestock.url("order_state_changed"), data=data, timeout=60).status_code

    with ThreadPoolExecutor(POSTS) as pool:
        statuses = Counter(pool.map(post, range(POSTS)))
    lines = onestock.receiver.canonical("webhook")
    refused_after_ms = [line["latency_ms"] for line in lines if line["outcome"] == "overloaded"]

    # In chunks, all may come so far at the same time that there is room for none.
    assert statuses.keys() <= {401, 503}
    assert is_chunked or statuses[401]
    assert len(refused_after_ms) == statuses[503] > 0
    assert peak_memory_bytes(onestock.receiver) < MEMORY_BYTES
    assert [onestock.send(order_event("O-1")).status_code for _ in range(5)] == [202] * 5
    if not is_chunked:
        assert max(refused_after_ms) < 1_000 * AT_ONCE_SECONDS


def test_with_pubsub_frozen_and_every_slot_taken_health_answers_and_more_is_refused_at_once(
    onestock: OneStock, pubsub: PubSub
) -> None:
    senders = SLOTS + 20

    with ThreadPoolExecutor(senders) as pool, frozen(pubsub.emulator):
        taken = [pool.submit(onestock.send, order_event(f"O-{number}")) for number in range(senders)]
        retry_after = wait_until(lambda: refused_at_once(onestock), within=8, every=0.01)
        started = time.monotonic()
        healthy = requests.get(f"http://127.0.0.1:{onestock.receiver.port}/health", timeout=5)
        seconds = time.monotonic() - started
        statuses = {sent.result().status_code for sent in taken}

    assert (healthy.status_code, statuses) == (200, {503})
    assert seconds < AT_ONCE_SECONDS
    assert retry_after == "30"
    assert "overloaded" in {line["outcome"] for line in onestock.receiver.canonical("webhook")}
    wait_until(lambda: onestock.send(order_event("O-1")).status_code == 202)


@contextmanager
def unfinished(onestock: OneStock) -> Iterator[socket.socket]:
    """Begin an unsigned webhook of 100 bytes, and send one of them."""
    with socket.create_connection(("127.0.0.1", onestock.receiver.port), timeout=20) as connection:
        path = onestock.url("order_state_changed").partition(str(onestock.receiver.port))[2]
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        yield connection


@pytest.mark.usefixtures("two_places")
def test_senders_that_never_send_the_rest_hold_their_places_for_ten_seconds_only(onestock: OneStock) -> None:
    with unfinished(onestock) as first, unfinished(onestock) as second:
        wait_until(lambda: refused_at_once(onestock))
        for _ in (first, second):
            wait_until(lambda: onestock.send(order_event("O-1")).status_code == 202, within=25)
        answers = [connection.recv(100).partition(b"\r\n")[0] for connection in (first, second)]

    assert answers == [b"HTTP/1.1 400 BAD REQUEST"] * 2
    reasons = {line["reason"] for line in onestock.receiver.canonical("webhook") if line["outcome"] == "broken_off"}
    assert reasons == {"only 1 of 100 bytes came within 10 s, and another webhook needed its place"}


def refused_at_once(onestock: OneStock) -> str:
    """Return when an unsigned webhook is told to come again; nothing if it is refused for another reason."""
    response = requests.post(onestock.url("order_state_changed"), data=b"{}", timeout=AT_ONCE_SECONDS)
    return response.headers.get("Retry-After", "")
