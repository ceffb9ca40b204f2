"""A Flask view that does nothing but what every view must: read the body, answer. For both services' gunicorn."""

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.post("/webhooks/onestock/<event_type>")
def receive_webhook(event_type: str) -> tuple[Response, int]:
    """Answer as the receiver does, with nothing done."""
    request.get_data(cache=False)
    return jsonify(event_type=event_type, message_id="0"), 202


@app.post("/pubsub/push")
def receive_push() -> Response:
    """Answer as the worker does, with nothing done."""
    request.get_data(cache=False)
    return Response(status=204)
