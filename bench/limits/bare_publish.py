"""One thread that publishes one message after another: `python -m bench.limits.bare_publish CLIENT TOPIC SECONDS OUT`.

CLIENT is `stub`, the RPC alone on protobuf messages, `client`, google.pubsub_v1's generated client, or `relay`, the
relay's own call.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.pubsub_v1 import PublisherClient, PublishRequest, PublishResponse, PubsubMessage
from relay.pubsub.publish_rpc import publish_rpc

from relay.message import Message

TIMEOUT_SECONDS = 10
WARM_UP = 200

Publish = Callable[[bytes], str]


def _with_stub(topic_path: str) -> Publish:
    channel = grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])
    request_type, answer_type = PublishRequest.pb(), PublishResponse.pb()
    message_type = PubsubMessage.pb()
    call = channel.unary_unary(
        "/google.pubsub.v1.Publisher/Publish",
        request_serializer=request_type.SerializeToString,
        response_deserializer=answer_type.FromString,
    )
    metadata = [to_grpc_metadata({"topic": topic_path})]

    def publish(body: bytes) -> str:
        message = message_type(data=body, attributes={"event_type": "order_state_changed"})
        request = request_type(topic=topic_path, messages=[message])
        message_id: str = call(request, timeout=TIMEOUT_SECONDS, metadata=metadata).message_ids[0]
        return message_id

    return publish


def _with_client(topic_path: str) -> Publish:
    client = PublisherClient()

    def publish(body: bytes) -> str:
        message = PubsubMessage(data=body, attributes={"event_type": "order_state_changed"})
        request = PublishRequest(topic=topic_path, messages=[message])
        answer = client.publish(request=request, retry=None, timeout=TIMEOUT_SECONDS)
        message_id: str = answer.message_ids[0]
        return message_id

    return publish


def _with_relay(topic_path: str) -> Publish:
    call = publish_rpc(topic_path, emulator_host=os.environ["PUBSUB_EMULATOR_HOST"])

    def publish(body: bytes) -> str:
        return call([Message(data=body, attributes={"event_type": "order_state_changed"})], TIMEOUT_SECONDS)[0]

    return publish


def main(kind: str, topic_path: str, seconds: str, output: str) -> None:
    """Publish for some seconds; write latencies in milliseconds, CPU seconds and message ids to a file."""
    publish = {"stub": _with_stub, "client": _with_client, "relay": _with_relay}[kind](topic_path)
    bodies = [json.dumps({"order_id": f"W-{number}", "date": number}).encode() for number in range(WARM_UP)]
    message_ids = [publish(body) for body in bodies]
    latencies: list[float] = []
    cpu_started, started = time.process_time(), time.perf_counter()
    while (begun := time.perf_counter()) - started < float(seconds):
        body = json.dumps({"order_id": f"ORD-{len(latencies):07}", "date": 1735689600, "note": "x" * 120}).encode()
        begun = time.perf_counter()
        message_ids.append(publish(body))
        latencies.append((time.perf_counter() - begun) * 1e3)
    result = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu_started,
        "latencies_ms": latencies,
        "message_ids": message_ids,
    }
    Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
