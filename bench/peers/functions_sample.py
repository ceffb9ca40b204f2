"""The usual sample as a function of functions-framework, started by its own command with its own defaults."""

import os

import flask
import functions_framework
from google.cloud import pubsub_v1

TOPIC_PATH = os.environ["BENCH_TOPIC_PATH"]

publisher = pubsub_v1.PublisherClient()


@functions_framework.http
def receive_webhook(request: flask.Request) -> tuple[dict[str, str], int]:
    """Publish the body, wait, answer."""
    if request.method != "POST":
        return {"status": "ok"}, 200
    event_type = request.path.rpartition("/")[2]
    message_id = publisher.publish(TOPIC_PATH, request.get_data(), event_type=event_type).result()
    return {"message_id": message_id}, 202
