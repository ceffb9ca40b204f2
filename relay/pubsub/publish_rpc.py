"""The Publish RPC, on protobuf's own objects.

Google's client makes the channel (credentials, endpoint, emulator). Its `publish` method is passed by: wrapping each
message and each call in Python costs a lone webhook as much time as the network does (bench/README.md).
"""

from collections.abc import Callable, Sequence

import grpc
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient, PublishRequest, PublishResponse, PubsubMessage

from relay.message import Message

_METHOD = "/google.pubsub.v1.Publisher/Publish"

# The generated classes under proto-plus's wrappers.
_Request, _Response, _Message = PublishRequest.pb(), PublishResponse.pb(), PubsubMessage.pb()

PublishRpc = Callable[[Sequence[Message], float], Sequence[str]]
"""Publishes messages in one RPC with a timeout in seconds; returns their ids in the same order.

Raises GoogleAPICallError where Pub/Sub refuses or does not answer in time."""


def publish_rpc(topic_path: str) -> PublishRpc:
    """Return the RPC that publishes to a topic (`projects/PROJECT/topics/TOPIC`).

    Call it once for each process, after the fork. PUBSUB_EMULATOR_HOST is honoured by the client.
    """
    # No retry: the client's own would outlive the deadline and hide what went wrong.
    channel = PublisherClient().transport.grpc_channel  # type: ignore[attr-defined] # gRPC is the client's default
    call = channel.unary_unary(
        _METHOD, request_serializer=_Request.SerializeToString, response_deserializer=_Response.FromString
    )
    routing = (("x-goog-request-params", f"topic={topic_path}"),)

    def publish(messages: Sequence[Message], timeout_seconds: float) -> Sequence[str]:
        request = _Request(
            topic=topic_path,
            messages=[
                _Message(data=message.data, attributes=message.attributes, ordering_key=message.ordering_key)
                for message in messages
            ],
        )
        try:
            ids: Sequence[str] = call(request, timeout=timeout_seconds, metadata=routing).message_ids
        except grpc.RpcError as error:
            raise exceptions.from_grpc_error(error) from error
        return ids

    return publish
