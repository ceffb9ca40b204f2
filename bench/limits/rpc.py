"""The Publish RPC of Google's generated client alone, in one thread: `python -m bench.limits.rpc TOPIC SECONDS OUT`."""

import json
import sys
import time
from pathlib import Path

from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage

from bench.prepared import EVENT_TYPE, bodies

TIMEOUT_SECONDS = 10
WARM_UP = 100
MOST = 50_000


def main(topic_path: str, seconds: str, output: str) -> None:
    """Publish one message after another; write the latencies and the message ids to a file."""
    client = PublisherClient()
    latencies: list[float] = []
    message_ids: list[str] = []
    started = time.perf_counter()
    for number, body in enumerate(bodies(range(MOST))):
        if number == WARM_UP:
            latencies.clear()
            started = time.perf_counter()
        begun = time.perf_counter()
        message = PubsubMessage(data=body, attributes={"event_type": EVENT_TYPE})
        answer = client.publish(
            request=PublishRequest(topic=topic_path, messages=[message]), retry=None, timeout=TIMEOUT_SECONDS
        )
        latencies.append((time.perf_counter() - begun) * 1e3)
        message_ids.append(answer.message_ids[0])
        if number > WARM_UP and time.perf_counter() - started > float(seconds):
            break
    result = {
        "seconds": time.perf_counter() - started,
        "latencies_ms": latencies,
        "message_ids": message_ids,
    }
    Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
