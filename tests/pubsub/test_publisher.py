"""Group commit: what waits for one RPC is published together by the next, and everybody gets an answer."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from relay.errors import PublishError, PublishInvalid, PublishUnavailable
from relay.message import Message
from relay.pubsub.publisher import MAX_BATCH_BYTES, MAX_CONCURRENT_RPCS, MAX_RPCS_WITHOUT_KEY, GroupCommitPublisher
from tests.support.waiting import wait_until


class Topic:
    """The RPC's other end: remembers each batch; waits at a gate, refuses poison, fails as told."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.keys: list[set[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failures: list[Exception] = []

    def rpc(self, messages: Sequence[Message], timeout_seconds: float) -> list[str]:
        self.batches.append([message.data for message in messages])
        self.keys.append({message.ordering_key for message in messages})
        if not self.gate.wait(timeout_seconds):
            raise PublishUnavailable("frozen")
        if self.failures:
            raise self.failures.pop()
        if any(message.data == b"poison" for message in messages):
            raise PublishInvalid("a message is not valid")
        return [f"id-{message.data.decode()[:20]}" for message in messages]


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def publisher(topic: Topic) -> GroupCommitPublisher:
    return GroupCommitPublisher(topic.rpc, max_waiting=200)


def publish(publisher: GroupCommitPublisher, data: bytes, budget_seconds: float = 5, key: str = "") -> str:
    return publisher.publish(Message(data=data, ordering_key=key), budget_seconds=budget_seconds)


def outcome_of(publisher: GroupCommitPublisher, data: bytes) -> str:
    try:
        return publish(publisher, data)
    except PublishError:
        return "refused"


def publish_behind_a_closed_gate(
    publisher: GroupCommitPublisher, topic: Topic, pool: ThreadPoolExecutor, bodies: Sequence[bytes]
) -> list[str]:
    """Fill every RPC slot, let `bodies` queue up behind them, then open the gate."""
    topic.gate.clear()
    leaders = [pool.submit(publish, publisher, f"leader-{n}".encode()) for n in range(MAX_RPCS_WITHOUT_KEY)]
    wait_until(lambda: len(topic.batches) == MAX_RPCS_WITHOUT_KEY, within=5)
    waiting = [pool.submit(outcome_of, publisher, body) for body in bodies]
    wait_until(lambda: publisher._waiting == MAX_RPCS_WITHOUT_KEY + len(bodies), within=5)  # noqa: SLF001 - no other sign
    topic.gate.set()
    assert all(leader.result() for leader in leaders)
    return [future.result() for future in waiting]


def test_a_lone_message_is_published_at_once(publisher: GroupCommitPublisher, topic: Topic) -> None:
    message_id = publish(publisher, b"one")

    assert message_id == "id-one"
    assert topic.batches == [[b"one"]]


def test_what_waits_together_is_published_together(publisher: GroupCommitPublisher, topic: Topic) -> None:
    bodies = [f"w{n}".encode() for n in range(30)]

    with ThreadPoolExecutor(40) as pool:
        message_ids = publish_behind_a_closed_gate(publisher, topic, pool, bodies)

    assert message_ids == [f"id-{body.decode()}" for body in bodies]
    assert sorted(body for batch in topic.batches[MAX_RPCS_WITHOUT_KEY:] for body in batch) == sorted(bodies)
    assert len(topic.batches) < MAX_RPCS_WITHOUT_KEY + len(bodies) / 2


def test_messages_of_different_orders_never_share_a_request(publisher: GroupCommitPublisher, topic: Topic) -> None:
    topic.gate.clear()
    keys = [f"ORD-{number % 80}" for number in range(160)]

    with ThreadPoolExecutor(160) as pool:
        futures = [pool.submit(publish, publisher, f"{n}".encode(), key=key) for n, key in enumerate(keys)]
        wait_until(lambda: publisher._waiting == len(keys), within=5)  # noqa: SLF001 - no other sign
        in_flight = len(topic.batches)
        topic.gate.set()
        message_ids = [future.result() for future in futures]

    assert message_ids == [f"id-{n}" for n in range(160)]
    assert {len(keys) for keys in topic.keys} == {1}
    assert in_flight == MAX_CONCURRENT_RPCS
    assert len(topic.batches) < 160


def is_full(publisher: GroupCommitPublisher, count: int) -> bool:
    return publisher._waiting == count  # noqa: SLF001 - no other sign


def test_one_orders_messages_are_published_one_after_another(publisher: GroupCommitPublisher, topic: Topic) -> None:
    topic.gate.clear()

    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(publish, publisher, b"0", key="ORD-1")]
        wait_until(lambda: topic.batches, within=5)
        for number in range(1, 10):
            futures.append(pool.submit(publish, publisher, f"{number}".encode(), key="ORD-1"))
            wait_until(partial(is_full, publisher, number + 1), within=5)
        topic.gate.set()
        assert all(future.result() for future in futures)

    assert topic.batches == [[b"0"], [f"{number}".encode() for number in range(1, 10)]]


def test_one_bad_message_does_not_fail_its_neighbours(publisher: GroupCommitPublisher, topic: Topic) -> None:
    bodies = [b"a", b"b", b"poison", b"c", b"d", b"e", b"f"]

    with ThreadPoolExecutor(20) as pool:
        outcomes = publish_behind_a_closed_gate(publisher, topic, pool, bodies)

    assert outcomes == ["id-a", "id-b", "refused", "id-c", "id-d", "id-e", "id-f"]


def test_a_batch_stays_below_the_limit_of_a_request(publisher: GroupCommitPublisher, topic: Topic) -> None:
    bodies = [str(n).encode() * 4_000_000 for n in range(6)]

    with ThreadPoolExecutor(20) as pool:
        publish_behind_a_closed_gate(publisher, topic, pool, bodies)

    assert max(sum(len(body) for body in batch) for batch in topic.batches) <= MAX_BATCH_BYTES


def test_a_transient_failure_is_tried_again(publisher: GroupCommitPublisher, topic: Topic) -> None:
    topic.failures = [PublishUnavailable("gone"), PublishUnavailable("gone")]

    message_id = publish(publisher, b"one")

    assert message_id == "id-one"
    assert len(topic.batches) == 3


@pytest.mark.parametrize(
    "failure", [PublishError("NOT_FOUND: no topic"), ValueError("credentials"), OSError("channel")]
)
def test_a_lasting_failure_is_told_at_once(publisher: GroupCommitPublisher, topic: Topic, failure: Exception) -> None:
    topic.failures = [failure]

    with pytest.raises(PublishError, match="Pub/Sub refused"):
        publish(publisher, b"one")

    assert publish(publisher, b"two") == "id-two"


def test_nobody_waits_longer_than_the_budget(publisher: GroupCommitPublisher, topic: Topic) -> None:
    topic.gate.clear()

    started = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(publish, publisher, b"x", 0.8) for _ in range(20)]
        errors = [future.exception() for future in futures]

    assert all(isinstance(error, PublishError) for error in errors)
    assert time.monotonic() - started < 2
    topic.gate.set()
    assert publish(publisher, b"after") == "id-after"


def test_too_many_waiting_are_refused_at_once(topic: Topic) -> None:
    publisher = GroupCommitPublisher(topic.rpc, max_waiting=2)
    topic.gate.clear()

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(publish, publisher, b"x") for _ in range(2)]
        wait_until(lambda: len(topic.batches) == 2, within=5)
        with pytest.raises(PublishError, match="2 webhooks wait"):
            publish(publisher, b"one too many")
        topic.gate.set()

    assert [future.result() for future in waiting] == ["id-x", "id-x"]


def test_no_thread_is_left_behind(publisher: GroupCommitPublisher) -> None:
    before = threading.active_count()

    for number in range(100):
        publish(publisher, str(number).encode())

    assert threading.active_count() == before
