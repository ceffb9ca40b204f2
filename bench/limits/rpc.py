"""The Publish RPC of Google's generated client alone, in one thread: `python -m bench.limits.rpc TOPIC SECONDS OUT`."""

import json
import sys
import time
from itertools import count, islice, takewhile
from pathlib import Path

from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage

from bench.prepared import EVENT_TYPE, bodies

TIMEOUT_SECONDS = 10
WARM_UP = 100


def main(topic_path: str, seconds: str, output: str) -> None:
    """Publish one message after another; write the latencies and the message ids to a file."""
    client, source = PublisherClient(), bodies(count())

    def publish(body: bytes) -> tuple[float, str]:
        started = time.perf_counter()
        message = PubsubMessage(data=body, attributes={"event_type": EVENT_TYPE})
        request = PublishRequest(topic=topic_path, messages=[message])
        message_id = client.publish(request=request, retry=None, timeout=TIMEOUT_SECONDS).message_ids[0]
        return (time.perf_counter() - started) * 1e3, message_id

    for body in islice(source, WARM_UP):
        publish(body)
    end = time.monotonic() + float(seconds)
    published = [publish(body) for body in takewhile(lambda _: time.monotonic() < end, source)]
    latencies_ms, message_ids = zip(*published, strict=True)
    Path(output).write_text(json.dumps({"latencies_ms": latencies_ms, "message_ids": message_ids}))


if __name__ == "__main__":
    main(*sys.argv[1:])
