"""The Publish RPC, without Google's client: that one takes half of a cold start and half of a lone webhook's time.

What is used of Google's libraries is the channel (credentials, TLS) and protobuf. The three messages are declared here;
a test holds them to those of google-cloud-pubsub. Source: "google.pubsub.v1" (Cloud Pub/Sub RPC reference).
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.api_core import exceptions, grpc_helpers
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from relay.message import Message

_METHOD = "/google.pubsub.v1.Publisher/Publish"
_HOST = "pubsub.googleapis.com"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/pubsub")
# As Google's client has it: an idle connection is kept open, so that a webhook does not wait for TLS.
_CHANNEL_OPTIONS = (("grpc.keepalive_time_ms", 30_000),)

PublishRpc = Callable[[Sequence[Message], float], Sequence[str]]
"""Publishes messages in one RPC with a timeout in seconds; returns their ids in the same order.

Raises GoogleAPICallError where Pub/Sub refuses or does not answer in time."""


def publish_rpc(topic_path: str) -> PublishRpc:
    """Return the RPC that publishes to a topic (`projects/PROJECT/topics/TOPIC`).

    Call it once for each process, after the fork. PUBSUB_EMULATOR_HOST is honoured, as by Google's client.
    """
    request_type, message_type, response_type = wire_types()
    # No retry: it would outlive the deadline and hide what went wrong.
    call = _channel().unary_unary(
        _METHOD, request_serializer=request_type.SerializeToString, response_deserializer=response_type.FromString
    )
    routing = (("x-goog-request-params", f"topic={topic_path}"),)

    def publish(messages: Sequence[Message], timeout_seconds: float) -> Sequence[str]:
        request = request_type(
            topic=topic_path,
            messages=[
                message_type(data=message.data, attributes=message.attributes, ordering_key=message.ordering_key)
                for message in messages
            ],
        )
        try:
            ids: Sequence[str] = call(request, timeout=timeout_seconds, metadata=routing).message_ids
        except grpc.RpcError as error:
            raise exceptions.from_grpc_error(error) from error
        return ids

    return publish


def _channel() -> Any:
    emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
    if emulator:
        return grpc.insecure_channel(emulator)
    return grpc_helpers.create_channel(
        f"{_HOST}:443", default_scopes=_SCOPES, default_host=_HOST, options=_CHANNEL_OPTIONS
    )


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
