"""The publish call: what goes over the wire is what google-cloud-pubsub would send, and each answer has its meaning."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import grpc
import pytest
from google.pubsub_v1 import PublishRequest, PublishResponse, PubsubMessage
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import PublishError, PublishInvalid, PublishUnavailable
from relay.local.processes import free_port
from relay.message import Message
from relay.pubsub.access_token import Headers
from relay.pubsub.publish_rpc import METHOD, PublishRpc, publish_over, publish_rpc, wire_types
from relay.rpc.channel import Channel
from relay.rpc.connection import Origin
from tests.fakes.grpc_server import serving

REQUEST, MESSAGE, RESPONSE = wire_types()
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
TOPIC = "projects/test-relay/topics/events"
ONE = [Message(data=b"{}", attributes={"event_type": "order_state_changed"}, ordering_key="ORD-1")]


@given(data=st.binary(max_size=50), attributes=st.dictionaries(TEXT, TEXT, max_size=5), ordering_key=TEXT)
def test_googles_client_reads_what_we_send(data: bytes, attributes: dict[str, str], ordering_key: str) -> None:
    ours = REQUEST(topic="t", messages=[MESSAGE(data=data, attributes=attributes, ordering_key=ordering_key)] * 2)

    read = PublishRequest.deserialize(ours.SerializeToString())

    expected = PubsubMessage(data=data, attributes=attributes, ordering_key=ordering_key)
    assert read == PublishRequest(topic="t", messages=[expected, expected])


@given(message_ids=st.lists(TEXT))
def test_we_read_what_pubsub_answers(message_ids: list[str]) -> None:
    read = RESPONSE.FromString(PublishResponse.serialize(PublishResponse(message_ids=message_ids)))

    assert list(read.message_ids) == message_ids


@dataclass
class PubSub:
    """The server's side: keeps what it was asked, and answers as told."""

    asked: list[PublishRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    refusals: list[grpc.StatusCode] = field(default_factory=list)
    ids: Sequence[str] | None = None

    def publish(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})
        self.asked.append(PublishRequest.deserialize(request))
        if self.refusals:
            context.abort(self.refusals.pop(0), "not now")
        ids = [f"id-{number}" for number, _ in enumerate(self.asked[-1].messages)] if self.ids is None else self.ids
        answer: bytes = PublishResponse.serialize(PublishResponse(message_ids=ids))
        return answer


class Token:
    """Counts how often it was forgotten."""

    forgotten = 0

    def headers(self, *, timeout_seconds: float) -> Headers:
        assert timeout_seconds > 0
        return (("authorization", f"Bearer test-token-{self.forgotten}"),)

    def forget(self, refused: Headers) -> None:
        assert refused == self.headers(timeout_seconds=1)
        self.forgotten += 1


@pytest.fixture
def pubsub() -> PubSub:
    return PubSub()


@pytest.fixture
def origin(pubsub: PubSub) -> Iterator[Origin]:
    with serving(METHOD, pubsub.publish) as served:
        yield served


@pytest.fixture
def token() -> Token:
    return Token()


@pytest.fixture
def rpc(origin: Origin, token: Token) -> Iterator[PublishRpc]:
    channel = Channel(origin, calls_per_connection=1)
    yield publish_over(channel, TOPIC, token)
    channel.close()


def test_messages_arrive_as_they_are_and_have_their_ids(rpc: PublishRpc, pubsub: PubSub) -> None:
    messages = [*ONE, Message(data=b"x" * 200_000)]

    ids = rpc(messages, 10)

    assert list(ids) == ["id-0", "id-1"]
    assert pubsub.asked == [
        PublishRequest(
            topic=TOPIC,
            messages=[
                PubsubMessage(data=b"{}", attributes={"event_type": "order_state_changed"}, ordering_key="ORD-1"),
                PubsubMessage(data=b"x" * 200_000),
            ],
        )
    ]


def test_a_call_carries_the_token_and_where_it_is_to_go(rpc: PublishRpc, pubsub: PubSub) -> None:
    rpc(ONE, 10)

    assert pubsub.metadata[0]["authorization"] == "Bearer test-token-0"
    assert pubsub.metadata[0]["x-goog-request-params"] == f"topic={TOPIC}"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, PublishUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, PublishUnavailable),
        (grpc.StatusCode.INTERNAL, PublishUnavailable),
        (grpc.StatusCode.INVALID_ARGUMENT, PublishInvalid),
        (grpc.StatusCode.NOT_FOUND, PublishError),
        (grpc.StatusCode.PERMISSION_DENIED, PublishError),
        (grpc.StatusCode.FAILED_PRECONDITION, PublishError),
    ],
)
def test_a_refusal_says_whether_another_attempt_may_help(
    rpc: PublishRpc, pubsub: PubSub, status: grpc.StatusCode, error: type[PublishError]
) -> None:
    pubsub.refusals = [status]

    with pytest.raises(PublishError, match=f"{status.name}: not now") as raised:
        rpc(ONE, 10)

    assert type(raised.value) is error


def test_a_refused_token_is_replaced(rpc: PublishRpc, pubsub: PubSub, token: Token) -> None:
    pubsub.refusals = [grpc.StatusCode.UNAUTHENTICATED]

    with pytest.raises(PublishUnavailable) as raised:
        rpc(ONE, 10)
    rpc(ONE, 10)

    assert token.forgotten == 1
    assert pubsub.metadata[1]["authorization"] == "Bearer test-token-1"
    assert "test-token" not in str(raised.value)


@pytest.mark.parametrize("ids", [[], ["id-0", "id-1"]])
def test_an_answer_with_another_number_of_ids_confirms_nothing(rpc: PublishRpc, pubsub: PubSub, ids: list[str]) -> None:
    pubsub.ids = ids

    with pytest.raises(PublishUnavailable, match="message ids for 1 messages"):
        rpc(ONE, 10)


def test_a_service_starts_while_pubsub_cannot_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    rpc = publish_rpc(TOPIC, emulator_host=f"127.0.0.1:{free_port()}")

    assert "Pub/Sub cannot be reached yet: ConnectionRefusedError" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING
    with pytest.raises(PublishUnavailable, match="ConnectionRefusedError"):
        rpc(ONE, 1)
