"""More than a receiver can hold is refused at once; its memory stays bounded, and /health and signed webhooks go on."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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

    assert statuses.keys() == {401, 503}
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
    wait_until(lambda: onestock.send(order_event("O-1")).status_code == 202, within=15)


def refused_at_once(onestock: OneStock) -> str:
    """Return when an unsigned webhook is told to come again; nothing if it is refused for another reason."""
    response = requests.post(onestock.url("order_state_changed"), data=b"{}", timeout=AT_ONCE_SECONDS)
    return response.headers.get("Retry-After", "")
