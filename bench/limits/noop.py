"""A Flask view that only reads the body and answers, for the gunicorn settings of both services."""

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.post("/webhooks/onestock/<event_type>")
def receive_webhook(event_type: str) -> tuple[Response, int]:
    """Answer as the receiver does."""
    request.get_data(cache=False)
    return jsonify(event_type=event_type, message_id="0"), 202


@app.post("/pubsub/push")
def receive_push() -> Response:
    """Answer as the worker does."""
    request.get_data(cache=False)
    return Response(status=204)
