"""The Publish RPC, without Google's client: that one takes half of a cold start, and most of a webhook's time.

Of Google's libraries protobuf and google-auth are used; relay.rpc speaks gRPC. The three messages are declared here;
a test holds them to those of google-cloud-pubsub. Source: "google.pubsub.v1" (Cloud Pub/Sub RPC reference).
"""

import logging
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import certifi
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from relay.errors import PublishError, PublishInvalid, PublishUnavailable
from relay.message import Message
from relay.pubsub.access_token import AccessToken, Headers
from relay.rpc.channel import Channel, header_block
from relay.rpc.connection import Origin
from relay.rpc.status import RpcError, Status

METHOD = "/google.pubsub.v1.Publisher/Publish"
HOST = "pubsub.googleapis.com"
PORT = 443
# What a start waits for its first connection and token; else the first webhook waits for them.
START_SECONDS = 2.0
CALLS_OF_GREENLETS = 100  # What servers allow on one connection, as a rule.

PublishRpc = Callable[[Sequence[Message], float], Sequence[str]]
"""Publishes messages in one RPC with a timeout in seconds; returns their ids in the same order.

Raises PublishUnavailable where another attempt may help, PublishInvalid where a message may be at fault, and
PublishError for every other refusal."""


class Token(Protocol):
    """What authorizes a call."""

    def headers(self, *, timeout_seconds: float) -> Headers:
        """Return the headers to send. Raises PublishUnavailable if there are none."""
        ...

    def forget(self, refused: Headers) -> None:
        """Have other headers next time."""
        ...


# Pub/Sub may take the same message on the next attempt; after UNAUTHENTICATED, with another token.
_TRANSIENT = {
    Status.CANCELLED,
    Status.UNKNOWN,
    Status.DEADLINE_EXCEEDED,
    Status.RESOURCE_EXHAUSTED,
    Status.ABORTED,
    Status.INTERNAL,
    Status.UNAVAILABLE,
    Status.UNAUTHENTICATED,
}

logger = logging.getLogger(__name__)


def publish_rpc(topic_path: str, *, emulator_host: str | None, in_greenlets: bool = False) -> PublishRpc:
    """Return the RPC that publishes to a topic (`projects/PROJECT/topics/TOPIC`), with a connection ready for it.

    `emulator_host` is host:port, None for Google Cloud. `in_greenlets` says that gevent runs the callers: their calls
    share a connection. Call it once for each process, after the fork. Raises ConfigurationError without credentials
    for Google Cloud.
    """
    token = None
    if emulator_host is not None:
        host, _, port = emulator_host.rpartition(":")
        origin = Origin(host.strip("[]"), int(port))
    else:
        token = AccessToken.of_the_environment()
        tls = ssl.create_default_context(cafile=certifi.where())
        tls.set_alpn_protocols(["h2"])
        origin = Origin(HOST, PORT, tls=tls)
    channel = Channel(origin, calls_per_connection=CALLS_OF_GREENLETS if in_greenlets else 1)
    try:
        channel.open_one(timeout_seconds=START_SECONDS)
        if token is not None:
            token.headers(timeout_seconds=START_SECONDS)
    except (OSError, PublishUnavailable) as error:
        logger.warning("Pub/Sub cannot be reached yet: %s: %s", type(error).__name__, error)
    return publish_over(channel, topic_path, token)


def publish_over(channel: Channel, topic_path: str, token: Token | None) -> PublishRpc:
    """Return the RPC over `channel`; `token` is None where nobody asks for one."""
    request_type, message_type, response_type = wire_types()
    headers = (
        (":method", "POST"),
        (":scheme", "http" if channel.origin.tls is None else "https"),
        (":path", METHOD),
        (":authority", channel.origin.authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "onestock-relay"),
        ("x-goog-request-params", f"topic={topic_path}"),
    )
    last: tuple[Headers, bytes] = (), header_block(headers)

    def publish(messages: Sequence[Message], timeout_seconds: float) -> Sequence[str]:
        nonlocal last
        deadline = time.monotonic() + timeout_seconds
        authorization = token.headers(timeout_seconds=timeout_seconds) if token is not None else ()
        if authorization != last[0]:
            last = authorization, header_block((*headers, *authorization))
        block = last[1]
        request = request_type(
            topic=topic_path,
            messages=[
                message_type(data=message.data, attributes=message.attributes, ordering_key=message.ordering_key)
                for message in messages
            ],
        )
        try:
            left = deadline - time.monotonic()
            answer = channel.call(block, request.SerializeToString(), timeout_seconds=left)
            ids: Sequence[str] = response_type.FromString(answer).message_ids
        except RpcError as error:
            if error.status is Status.UNAUTHENTICATED and token is not None:
                token.forget(authorization)
            raise _refusal(error) from error
        except (OSError, DecodeError) as error:
            raise PublishUnavailable(f"{type(error).__name__}: {error}") from error
        if len(ids) != len(messages):
            raise PublishUnavailable(f"an answer with {len(ids)} message ids for {len(messages)} messages")
        return ids

    return publish


def _refusal(error: RpcError) -> PublishError:
    if error.status in _TRANSIENT:
        return PublishUnavailable(str(error))
    return PublishInvalid(str(error)) if error.status is Status.INVALID_ARGUMENT else PublishError(str(error))


def wire_types() -> tuple[Any, Any, Any]:
    """Return protobuf's classes for PublishRequest, PubsubMessage (what we set of it) and PublishResponse."""
    field = descriptor_pb2.FieldDescriptorProto
    once, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    file = descriptor_pb2.FileDescriptorProto(name="publish.proto", package="google.pubsub.v1", syntax="proto3")

    def add(scope: Any, name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        message = scope.add(name=name)
        for field_name, number, label, kind, type_name in fields:
            message.field.add(name=field_name, number=number, label=label, type=kind, type_name=type_name or None)
        return message

    pubsub_message = add(
        file.message_type,
        "PubsubMessage",
        ("data", 1, once, field.TYPE_BYTES, ""),
        ("attributes", 2, many, field.TYPE_MESSAGE, ".google.pubsub.v1.PubsubMessage.AttributesEntry"),
        ("ordering_key", 5, once, field.TYPE_STRING, ""),
    )
    entry = add(
        pubsub_message.nested_type,
        "AttributesEntry",
        ("key", 1, once, field.TYPE_STRING, ""),
        ("value", 2, once, field.TYPE_STRING, ""),
    )
    entry.options.map_entry = True
    add(
        file.message_type,
        "PublishRequest",
        ("topic", 1, once, field.TYPE_STRING, ""),
        ("messages", 2, many, field.TYPE_MESSAGE, ".google.pubsub.v1.PubsubMessage"),
    )
    add(file.message_type, "PublishResponse", ("message_ids", 1, many, field.TYPE_STRING, ""))
    # A pool of its own: google-cloud-pubsub, where a command loads it too, declares the same names.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("PublishRequest", "PubsubMessage", "PublishResponse")
    request, message, response = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}")) for name in names
    )
    return request, message, response
