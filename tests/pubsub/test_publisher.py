"""One Publish call for each message, within its budget, whatever Pub/Sub and the way to it do."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from relay.errors import PublishError
from relay.message import Message
from relay.pubsub.publisher import ATTEMPT_SECONDS, CHANNEL_OPTIONS, PubSubPublisher, connected
from relay.settings.base import PubSubSettings
from tests.support.ports import free_port
from tests.support.pubsub_server import Call, PubSubServer, accepting, refusing
from tests.support.silent_proxy import SilentProxy
from tests.support.waiting import wait_until

TOPIC = "projects/test-relay/topics/events"
MESSAGE = Message(data=b'{"order_id": "A-1"}', attributes={"event_id": "e1"}, ordering_key="A-1")


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    with PubSubServer().running() as server:
        yield server


@contextmanager
def publishing_to(host: str) -> Iterator[PubSubPublisher]:
    publisher = PubSubPublisher(TOPIC, lambda: grpc.insecure_channel(host, options=CHANNEL_OPTIONS))
    try:
        yield publisher
    finally:
        publisher.close()


@pytest.fixture
def publisher(server: PubSubServer) -> Iterator[PubSubPublisher]:
    with publishing_to(server.host) as publisher:
        yield publisher


def test_a_call_holds_one_message_with_its_attributes_and_its_key(
    server: PubSubServer, publisher: PubSubPublisher
) -> None:
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda _: publisher.publish(MESSAGE, budget_seconds=5), range(100)))

    assert sorted(ids) == sorted(f"m-{number}" for number in range(1, 101))
    assert {call.request.topic for call in server.calls} == {TOPIC}
    [message] = {repr(message) for call in server.calls for message in call.request.messages}
    assert sum(len(call.request.messages) for call in server.calls) == 100
    assert all(text in message for text in ("A-1", "event_id", "e1"))
    assert len(server.peers) == 1


def test_a_call_carries_the_metadata_that_googles_client_sends(
    server: PubSubServer, publisher: PubSubPublisher
) -> None:
    with grpc.insecure_channel(server.host) as channel:
        publisher.publish(MESSAGE, budget_seconds=5)
        PublisherClient(transport=PublisherGrpcTransport(channel=channel)).publish(topic=TOPIC, timeout=5)

    ours, googles = (call.metadata for call in server.calls)
    assert ours == googles
    assert ours["x-goog-request-params"] == f"topic={TOPIC}"


@pytest.mark.parametrize("name", ["UNAVAILABLE", "ABORTED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED", "CANCELLED"])
def test_what_may_pass_is_tried_again(server: PubSubServer, publisher: PubSubPublisher, name: str) -> None:
    server.behaviours = [refusing(grpc.StatusCode[name]), refusing(grpc.StatusCode[name]), accepting]

    assert publisher.publish(MESSAGE, budget_seconds=5) == "m-3"


@pytest.mark.parametrize("name", ["PERMISSION_DENIED", "NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION"])
def test_what_cannot_pass_fails_at_once_and_says_why(
    server: PubSubServer, publisher: PubSubPublisher, name: str
) -> None:
    server.behaviours = [refusing(grpc.StatusCode[name], "invented reason")]

    with pytest.raises(PublishError, match=r"refused to store the event: .*invented reason"):
        publisher.publish(MESSAGE, budget_seconds=5)
    assert len(server.calls) == 1


def test_trying_again_ends_with_the_budget_and_names_the_last_reason(
    server: PubSubServer, publisher: PubSubPublisher
) -> None:
    server.behaviours = [refusing(grpc.StatusCode.UNAVAILABLE, "invented reason")]
    started = time.monotonic()

    with pytest.raises(PublishError, match=r"did not confirm within 1 s: ServiceUnavailable.*invented reason"):
        publisher.publish(MESSAGE, budget_seconds=1)
    calls = len(server.calls)

    assert time.monotonic() - started < 3
    assert 2 <= calls <= 20


def test_nothing_listens_is_a_failure_within_the_budget() -> None:
    started = time.monotonic()

    with publishing_to(f"127.0.0.1:{free_port()}") as publisher, pytest.raises(PublishError, match="did not confirm"):
        publisher.publish(MESSAGE, budget_seconds=1)

    assert time.monotonic() - started < 3


def test_nothing_goes_on_after_the_answer(server: PubSubServer, publisher: PubSubPublisher) -> None:
    release = threading.Event()
    server.behaviours = [lambda _, __: (release.wait(10), None)[1]]
    publishing = threading.active_count()

    with pytest.raises(PublishError, match="did not confirm"):
        publisher.publish(MESSAGE, budget_seconds=0.5)
    threads, calls = threading.active_count(), len(server.calls)
    release.set()
    publisher.publish(MESSAGE, budget_seconds=5)

    assert threads <= publishing + calls  # Each call that waits is a thread of the server here.
    assert len(server.calls) == calls + 1


def test_a_silent_connection_is_replaced_within_one_budget(server: PubSubServer) -> None:
    with SilentProxy(server.host).running() as proxy, publishing_to(proxy.host) as publisher:
        publisher.publish(MESSAGE, budget_seconds=5)
        proxy.silence()
        started = time.monotonic()

        publisher.publish(MESSAGE, budget_seconds=10)
        seconds = time.monotonic() - started
        publisher.publish(MESSAGE, budget_seconds=1)

        assert (proxy.opened, len(server.peers)) == (2, 2)
        assert proxy.dropped_bytes > 0
        assert 2 * ATTEMPT_SECONDS < seconds < 10


def test_many_on_a_silent_connection_make_one_new_connection_and_all_are_published(server: PubSubServer) -> None:
    with SilentProxy(server.host).running() as proxy, publishing_to(proxy.host) as publisher:
        publisher.publish(MESSAGE, budget_seconds=5)
        proxy.silence()

        with ThreadPoolExecutor(16) as pool:
            ids = list(pool.map(lambda _: publisher.publish(MESSAGE, budget_seconds=10), range(16)))

        assert len(set(ids)) == 16
        assert proxy.opened == 2


def test_a_slow_answer_beside_quick_ones_replaces_nothing(server: PubSubServer, publisher: PubSubPublisher) -> None:
    stuck = threading.Event()

    def stick(call: Call, _: grpc.ServicerContext) -> None:
        if call.request.messages[0].ordering_key == "stuck":
            stuck.wait(20)

    server.behaviours = [stick]
    with ThreadPoolExecutor(1) as pool:
        message = Message(data=b"x", ordering_key="stuck")
        failing = pool.submit(publisher.publish, message, budget_seconds=2 * ATTEMPT_SECONDS + 0.5)
        while not failing.done():
            publisher.publish(MESSAGE, budget_seconds=5)
            time.sleep(0.01)
        stuck.set()

    assert isinstance(failing.exception(), PublishError)
    assert len(server.peers) == 1


def test_a_publisher_is_connected_before_its_first_message(server: PubSubServer) -> None:
    before = threading.active_count()
    settings = PubSubSettings.from_environ({"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_EMULATOR_HOST": server.host})

    publisher = connected(TOPIC, settings)
    wait_until(lambda: threading.active_count() <= before)

    assert publisher.publish(MESSAGE, budget_seconds=0.5) == "m-1"
    publisher.close()


def test_a_start_without_pubsub_goes_on_and_the_first_publish_connects(caplog: pytest.LogCaptureFixture) -> None:
    host = f"127.0.0.1:{free_port()}"
    before, started = threading.active_count(), time.monotonic()

    publisher = connected(
        TOPIC, PubSubSettings.from_environ({"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_EMULATOR_HOST": host})
    )
    seconds = time.monotonic() - started
    wait_until(lambda: threading.active_count() <= before)

    assert seconds < 8
    assert "no connection to Pub/Sub within 5 s" in caplog.text
    publisher.close()
