"""The worker's HTTP side: a push in, one log line, the outcome's status out."""

import logging
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from relay import log
from relay.errors import AuthenticationError, EnvelopeError
from relay.events import Delivery, labels_of
from relay.registry import suggestion_for
from relay.settings.worker import WorkerSettings
from relay.trace import Trace
from relay.worker import push
from relay.worker.auth import Authenticate
from relay.worker.dispatch import Dispatcher, Outcome, Run

_ENVELOPE_FACTOR = 4 / 3  # A wrapped push carries the data in base64.
_ENVELOPE_EXTRA_BYTES = 200_000  # Attributes and framing: Pub/Sub allows 100 attributes of 1,280 bytes.

_SEVERITY = {
    Outcome.HANDLED: logging.INFO,
    Outcome.DUPLICATE: logging.INFO,
    Outcome.STALE: logging.INFO,
    Outcome.BUSY: logging.INFO,
    Outcome.UNHANDLED: logging.WARNING,
    Outcome.RETRY: logging.WARNING,
    Outcome.QUARANTINED: logging.WARNING,
}

_NO_FAILURE = frozenset({Outcome.HANDLED, Outcome.DUPLICATE, Outcome.STALE, Outcome.BUSY})

logger = logging.getLogger(__name__)


def create_app(settings: WorkerSettings, *, authenticate: Authenticate, dispatcher: Dispatcher) -> Flask:
    """Return the worker."""
    app = Flask("relay.worker")
    app.config["MAX_CONTENT_LENGTH"] = int(settings.max_body_bytes * _ENVELOPE_FACTOR) + _ENVELOPE_EXTRA_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    def receive_push() -> Response:
        started = time.monotonic()
        authenticate(request.headers.get("Authorization"))
        delivery = push.read(
            {name.lower(): value for name, value in request.headers},
            _read_body(),
            max_body_bytes=settings.max_body_bytes,
            now=datetime.now(UTC),
        )
        context = log.LogContext(trace=Trace.continued(delivery.traceparent), labels=labels_of(delivery))
        with log.logging_as(context):
            outcome, runs = dispatcher.dispatch(delivery)
            _write_line(delivery, outcome, runs, latency_seconds=time.monotonic() - started)
        return Response(status=outcome.status)

    app.add_url_rule("/pubsub/push", view_func=receive_push, methods=["POST"])
    app.add_url_rule("/health", "health", lambda: {"status": "ok"}, methods=["GET"])
    app.register_error_handler(EnvelopeError, _answer_no_push)
    app.register_error_handler(AuthenticationError, _answer_stranger)
    app.register_error_handler(Exception, _answer_unexpected)
    return app


def _read_body() -> bytes:
    try:
        return request.get_data(cache=False)
    except HTTPException as error:
        raise EnvelopeError(
            f"the request cannot be read ({error}); is it larger than MAX_BODY_BYTES allows?"
        ) from error


def _write_line(delivery: Delivery, outcome: Outcome, runs: list[Run], *, latency_seconds: float) -> None:
    fields: dict[str, Any] = {
        "line": "delivery",
        "outcome": outcome,
        "status": outcome.status,
        "message_id": delivery.message_id,
        "delivery_attempt": delivery.delivery_attempt,
        "generation": delivery.generation,
        "latency_ms": round(latency_seconds * 1000, 2),
        "age_ms": round((datetime.now(UTC) - delivery.received_at).total_seconds() * 1000),
        "handlers": [_fields_of(run) for run in runs],
        # By itself, since a log query cannot ask for a name and an outcome of one and the same handler.
        "failed_handlers": [run.handler for run in runs if run.outcome not in _NO_FAILURE],
        **({"synthetic": True} if delivery.is_synthetic else {}),
        **labels_of(delivery),
    }
    http_request = {
        "requestMethod": request.method,
        "requestUrl": request.path,
        "status": int(outcome.status),
        "latency": f"{latency_seconds:.6f}s",
    }
    logger.log(
        _SEVERITY.get(outcome, logging.ERROR),
        "%s",
        _text_of(delivery, outcome, runs, latency_seconds),
        extra={"json_fields": fields, "http_request": http_request},
    )


def _fields_of(run: Run) -> dict[str, Any]:
    fields = {"name": run.handler, "outcome": run.outcome, "latency_ms": round(run.latency_seconds * 1000, 2)}
    return {**fields, "reason": run.reason} if run.reason else fields


def _text_of(delivery: Delivery, outcome: Outcome, runs: list[Run], latency_seconds: float) -> str:
    if outcome is Outcome.UNHANDLED:
        return (
            f"No handler for {delivery.event_type!r} (event {delivery.event_id}): acknowledged and counted as "
            f"unhandled. To handle it, put this into handlers/:\n{suggestion_for(delivery.event_type)}"
        )
    reasons = "; ".join(f"{run.handler}: {run.reason}" for run in runs if run.reason)
    text = f"Delivery {delivery.event_type}: {outcome} in {latency_seconds * 1000:.1f} ms"
    return f"{text}: {reasons}" if reasons else text


def _answer_no_push(error: EnvelopeError) -> Response:
    logger.error("Push refused: %s", error, extra=_refused("bad_envelope", HTTPStatus.BAD_REQUEST))
    return Response(status=HTTPStatus.BAD_REQUEST)


def _answer_stranger(error: AuthenticationError) -> Response:
    logger.warning("Push refused: %s", error.reason, extra=_refused("unauthenticated", error.status))
    return Response(status=error.status)


def _refused(outcome: str, status: int) -> dict[str, Any]:
    return {"json_fields": {"line": "delivery", "outcome": outcome, "status": status}}


def _answer_unexpected(error: Exception) -> Response | HTTPException:
    """Unknown means retry: what nobody foresaw is logged and nacked."""
    if isinstance(error, HTTPException):
        return error
    extra = _refused("unexpected", HTTPStatus.SERVICE_UNAVAILABLE)
    logger.error("Unexpected error in %s; nacked", request.path, exc_info=error, extra=extra)
    return Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
