"""The webhook endpoint takes its own requests, hands on all others, and reads no more than it may."""

import io
import time
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from relay.receiver.endpoint import WebhookEndpoint
from relay.receiver.webhook import Relay

from relay.errors import PublishError
from relay.message import Message
from relay.settings.receiver import ReceiverSettings

MAX_BODY_BYTES = 1_000


class Topic:
    """Keeps what is published; fails as told."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.failure: Exception | None = None

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        assert budget_seconds > 0
        if self.failure is not None:
            raise self.failure
        self.messages.append(message)
        return f"m-{len(self.messages)}"


class Hanging(io.RawIOBase):
    """A body whose sender hangs up."""

    def read(self, size: int = -1, /) -> bytes:
        raise OSError(f"connection lost before {size} bytes")


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def endpoint(topic: Topic) -> WebhookEndpoint:
    environ = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_TOPIC": "events", "ONESTOCK_SIGNATURE": "off"}
    relay = Relay(ReceiverSettings.from_environ(environ), topic, now=time.time)
    return WebhookEndpoint(relay, max_body_bytes=MAX_BODY_BYTES, otherwise=elsewhere)


def elsewhere(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Elsewhere", [])
    return ()


def status_of(endpoint: WebhookEndpoint, path: str, body: bytes = b"{}", more: dict[str, Any] | None = None) -> int:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path.encode().decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **(more or {}),
    }
    statuses: list[str] = []

    def start_response(status: str, *_: Any) -> Any:
        statuses.append(status)

    list(endpoint(environ, start_response))
    return int(statuses[0][:3])


@pytest.mark.parametrize(
    ("path", "event_type"),
    [
        ("/webhooks/onestock/order_state_changed", "order_state_changed"),
        ("/webhooks/onestock/commande-expédiée", "commande-expédiée"),
        ("/webhooks/onestock", "unknown"),
    ],
)
def test_the_path_names_the_event_type(endpoint: WebhookEndpoint, topic: Topic, path: str, event_type: str) -> None:
    assert status_of(endpoint, path) == 202
    assert topic.messages[0].event_type == event_type


@pytest.mark.parametrize(
    "path", ["/", "/webhooks/onestock/", "/webhooks/onestock/a/b", "/webhooks/onestock/" + "x" * 129, "/webhooks"]
)
def test_other_paths_are_not_webhooks(endpoint: WebhookEndpoint, topic: Topic, path: str) -> None:
    assert status_of(endpoint, path) == 404
    assert topic.messages == []


def test_a_path_that_only_begins_alike_is_no_webhook(endpoint: WebhookEndpoint, topic: Topic) -> None:
    assert status_of(endpoint, "/webhooks/onestocking") == 404
    assert topic.messages == []


def test_another_method_is_not_for_the_endpoint(endpoint: WebhookEndpoint) -> None:
    assert status_of(endpoint, "/webhooks/onestock/x", more={"REQUEST_METHOD": "PUT"}) == 404


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 202), (MAX_BODY_BYTES + 1, 413)])
def test_the_limit_holds_with_and_without_a_length(endpoint: WebhookEndpoint, size: int, status: int) -> None:
    assert status_of(endpoint, "/webhooks/onestock/x", b"1" * size) == status
    assert status_of(endpoint, "/webhooks/onestock/x", b"2" * size, {"CONTENT_LENGTH": ""}) == status


def test_a_body_that_breaks_off_is_never_published(endpoint: WebhookEndpoint, topic: Topic) -> None:
    too_short = status_of(endpoint, "/webhooks/onestock/x", b"{}", {"CONTENT_LENGTH": "3"})
    lost = status_of(endpoint, "/webhooks/onestock/x", more={"wsgi.input": Hanging()})

    assert (too_short, lost, topic.messages) == (400, 400, [])


@pytest.mark.parametrize("failure", [PublishError("frozen"), RuntimeError("nobody foresaw this")])
def test_whatever_fails_is_a_503_that_says_when_to_come_back(
    endpoint: WebhookEndpoint, topic: Topic, failure: Exception
) -> None:
    topic.failure = failure

    assert status_of(endpoint, "/webhooks/onestock/x") == 503
