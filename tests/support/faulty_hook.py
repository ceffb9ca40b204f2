"""Both services with a `before_request` hook of the customer's that has a fault: it raises for one event type."""

from flask import Flask, request

import main

PLANTED_FAULT = "planted_fault"
MAX_READ_BYTES = 10_000


def receiver() -> Flask:
    """Return the receiver; gunicorn loads it in the place of main's."""
    return _with_fault(main.receiver())


def worker() -> Flask:
    """Return the worker."""
    return _with_fault(main.worker())


def _with_fault(app: Flask) -> Flask:
    def fail() -> None:
        if request.path.endswith(PLANTED_FAULT) or PLANTED_FAULT.encode() in _push():
            raise RuntimeError("invented: nobody foresaw this")

    app.before_request(fail)
    return app


def _push() -> bytes:
    is_small_push = request.path == "/pubsub/push" and (request.content_length or 0) < MAX_READ_BYTES
    return request.get_data() if is_small_push else b""
