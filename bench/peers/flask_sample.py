"""The usual sample: Flask and the batching client, its defaults untouched."""

import os

from flask import Flask, request
from google.cloud import pubsub_v1

TOPIC_PATH = os.environ["BENCH_TOPIC_PATH"]

app = Flask(__name__)
publisher = pubsub_v1.PublisherClient()


@app.post("/webhooks/onestock/<event_type>")
def receive_webhook(event_type: str) -> tuple[dict[str, str], int]:
    """Publish the body, wait, answer."""
    message_id = publisher.publish(TOPIC_PATH, request.get_data(), event_type=event_type).result()
    return {"message_id": message_id}, 202
