"""The worker as a Flask application: the push view, the watchdog's view and `/health`."""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from flask import Flask, Request, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from relay import logs
from relay.errors import AuthenticationError, EnvelopeError, OneStockError
from relay.events import Delivery, labels_of
from relay.onestock.watchdog import Watchdog, text_of
from relay.registry import only_catch_all_text, suggestion_for
from relay.settings.worker import PushAuth, WorkerSettings
from relay.tracing import Trace
from relay.worker import push
from relay.worker.auth import Authenticate, authenticate_headers
from relay.worker.dispatch import Dispatcher, HandlerRun
from relay.worker.outcome import Outcome

PUSH_PATH = "/pubsub/push"
WATCHDOG_PATH = "/onestock/watchdog"

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

_NO_FAILURE = frozenset({Outcome.HANDLED, Outcome.DUPLICATE, Outcome.STALE, Outcome.BUSY, Outcome.UNHANDLED})

logger = logging.getLogger(__name__)


def create_app(
    settings: WorkerSettings,
    *,
    authenticate: Authenticate,
    dispatcher: Dispatcher,
    authenticate_scheduler: Authenticate | None = None,
    watchdog: Watchdog | None = None,
) -> Flask:
    """Return the worker. Without a `watchdog`, its route is not found."""
    app = Flask("relay.worker")
    app.config["MAX_CONTENT_LENGTH"] = int(settings.max_body_bytes * _ENVELOPE_FACTOR) + _ENVELOPE_EXTRA_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False

    def receive_push() -> ResponseReturnValue:
        started = time.monotonic()
        authenticate_headers(authenticate, request.headers, settings.push_auth)
        delivery = push.read(
            _headers_of(request), _body_of(request), max_body_bytes=settings.max_body_bytes, now=datetime.now(UTC)
        )
        context = logs.LogContext(
            trace=Trace.continued(delivery.traceparent),
            labels=labels_of(delivery),
            mask=logs.masking(delivery.body, settings.log_content),
        )
        with logs.logging_as(context):
            outcome, runs = dispatcher.dispatch(delivery)
        _write_line(delivery, outcome, runs, context=context, latency_seconds=time.monotonic() - started)
        return _acknowledgement(outcome.status)

    app.add_url_rule(PUSH_PATH, view_func=receive_push, methods=["POST"])
    app.add_url_rule("/health", "health", lambda: _health_of(dispatcher), methods=["GET"])
    if watchdog is not None:
        look = _watchdog_view(watchdog, authenticate_scheduler or authenticate, settings.push_auth)
        app.add_url_rule(WATCHDOG_PATH, "watchdog", look, methods=["POST"])
    app.register_error_handler(EnvelopeError, _bad_envelope)
    app.register_error_handler(AuthenticationError, _unauthenticated)
    app.register_error_handler(Exception, _unexpected_error)
    return app


def _health_of(dispatcher: Dispatcher) -> ResponseReturnValue:
    """Fail while no handler can be started, so that the platform replaces the instance."""
    if dispatcher.is_overloaded:
        return {"status": "too many handler runs go on after their budget"}, HTTPStatus.SERVICE_UNAVAILABLE
    return {"status": "ok"}, HTTPStatus.OK


def _body_of(request: Request) -> bytes:
    try:
        body = request.get_data(cache=False)
    except (RequestEntityTooLarge, ClientDisconnected) as error:
        raise EnvelopeError(f"the request cannot be read: {error.name}") from error
    # gunicorn ends a body that breaks off like a whole one; half an unwrapped push must not be taken for an event.
    if request.content_length is not None and len(body) < request.content_length:
        raise EnvelopeError(f"the request broke off after {len(body)} of {request.content_length} bytes")
    return body


def _headers_of(request: Request) -> Mapping[str, str]:
    """Return the headers of an unwrapped push under lower-case names; a wrapped one's say nothing about the message."""
    if push.MESSAGE_ID_HEADER not in request.headers:
        return {}
    return {name.lower(): value for name, value in request.headers.items()}


def _acknowledgement(status: int) -> Response:
    """Return an empty answer: Pub/Sub reads the status alone."""
    return Response(status=status, content_type="")


def _bad_envelope(error: EnvelopeError) -> ResponseReturnValue:
    return _refused("bad_envelope", HTTPStatus.BAD_REQUEST, logging.ERROR, str(error))


def _unauthenticated(error: AuthenticationError) -> ResponseReturnValue:
    return _refused("unauthenticated", error.status, logging.WARNING, error.reason)


def _refused(outcome: str, status: int, severity: int, reason: str) -> ResponseReturnValue:
    fields = {"line": "delivery", "outcome": outcome, "status": int(status), "reason": reason}
    logger.log(severity, "Push refused: %s", reason, extra={"json_fields": fields})
    return _acknowledgement(status)


def _unexpected_error(error: Exception) -> ResponseReturnValue:
    """Nack, so that Pub/Sub delivers the event again, and log the traceback."""
    if isinstance(error, HTTPException):
        return error
    status = int(HTTPStatus.SERVICE_UNAVAILABLE)
    fields = {"line": "delivery", "outcome": "unexpected", "status": status, "reason": type(error).__name__}
    logger.error("Unexpected error in %s; nacked", request.path, exc_info=error, extra={"json_fields": fields})
    return _acknowledgement(HTTPStatus.SERVICE_UNAVAILABLE)


def _watchdog_view(watchdog: Watchdog, authenticate: Authenticate, push_auth: PushAuth) -> Any:
    def look() -> ResponseReturnValue:
        """Let the watchdog look; 503 where OneStock cannot be asked, so that Cloud Scheduler tries again."""
        try:
            authenticate_headers(authenticate, request.headers, push_auth)
            findings = watchdog.look()
        except AuthenticationError as error:
            logger.warning("Watchdog refused: %s", error.reason)
            return {}, error.status
        except OneStockError as error:
            # The text says it all.
            logger.error(  # noqa: TRY400
                "The webhooks cannot be watched: %s", error, extra={"json_fields": {"line": "webhook_watch_failed"}}
            )
            return {"problem": "OneStock cannot be asked; the log says why"}, HTTPStatus.SERVICE_UNAVAILABLE
        return {"webhooks": [text_of(finding) for finding in findings]}, HTTPStatus.OK

    return look


def _write_line(
    delivery: Delivery, outcome: Outcome, runs: list[HandlerRun], *, context: logs.LogContext, latency_seconds: float
) -> None:
    """Write the canonical line of a delivery."""
    status = int(outcome.status)
    runs = [replace(run, reason=context.mask(run.reason)) if run.reason else run for run in runs]
    fields: dict[str, Any] = {
        "line": "delivery",
        "outcome": outcome,
        "status": status,
        "message_id": delivery.message_id,
        "delivery_attempt": delivery.delivery_attempt,
        "generation": delivery.generation,
        "redrives": delivery.redrives,
        "latency_ms": round(latency_seconds * 1000, 2),
        "age_ms": round((datetime.now(UTC) - delivery.received_at).total_seconds() * 1000),
        "handlers": [_fields_of(run) for run in runs],
        # By itself, since a log query cannot ask for a name and an outcome of one and the same handler.
        "failed_handlers": [run.handler for run in runs if run.outcome not in _NO_FAILURE],
        **({"synthetic": True} if delivery.is_synthetic else {}),
        **({"only_catch_all": True} if _only_catch_all(delivery, runs) else {}),
        **context.labels,
    }
    logs.write(
        logger,
        _SEVERITY.get(outcome, logging.ERROR),
        _text_of(delivery, outcome, runs, latency_seconds),
        context=context,
        fields=fields,
        http_request={
            "requestMethod": "POST",
            "requestUrl": PUSH_PATH,
            "status": status,
            "latency": f"{latency_seconds:.6f}s",
        },
    )


def _fields_of(run: HandlerRun) -> dict[str, Any]:
    fields = {"name": run.handler, "outcome": run.outcome, "latency_ms": round(run.latency_seconds * 1000, 2)}
    return {**fields, "reason": run.reason} if run.reason else fields


def _text_of(delivery: Delivery, outcome: Outcome, runs: list[HandlerRun], latency_seconds: float) -> str:
    if outcome is Outcome.UNHANDLED and not runs:
        return (
            f"No handler for {delivery.event_type!r} (event {delivery.event_id}): acknowledged and counted as "
            f"unhandled. To handle it, put this into handlers/:\n{suggestion_for(delivery.event_type)}"
        )
    reasons = "; ".join(f"{run.handler}: {run.reason}" for run in runs if run.reason)
    text = f"Delivery {delivery.event_type}: {outcome} in {latency_seconds * 1000:.1f} ms"
    text = f"{text}: {reasons}" if reasons else text
    return f"{text}; {only_catch_all_text(delivery.event_type)}" if _only_catch_all(delivery, runs) else text


def _only_catch_all(delivery: Delivery, runs: list[HandlerRun]) -> bool:
    """Return whether no handler names the event type: a wrong word at the end of OneStock's URL looks so."""
    return bool(runs) and not delivery.only_handler and all(run.is_catch_all for run in runs)
