"""The receiver's HTTP side: a webhook in, one log line, an answer out.

A 202 is a promise: Pub/Sub has confirmed the event. Nothing here looks anything up or outlives the response.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from relay import log, signature
from relay.errors import MessageTooLarge, PublishError, SignatureError
from relay.message import Message, is_event_type
from relay.pubsub.publisher import Publisher
from relay.settings.receiver import ReceiverSettings
from relay.trace import Trace

RETRY_AFTER_SECONDS = "30"  # OneStock's own first pause ("Webhook configuration").

logger = logging.getLogger(__name__)


class Outcome(StrEnum):
    """How a webhook ended."""

    PUBLISHED = "published"
    REFUSED = "refused"
    TOO_LARGE = "too_large"
    NOT_PUBLISHED = "not_published"
    BROKEN_OFF = "broken_off"


_STATUS = {
    Outcome.PUBLISHED: HTTPStatus.ACCEPTED,
    Outcome.REFUSED: HTTPStatus.UNAUTHORIZED,
    Outcome.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Outcome.NOT_PUBLISHED: HTTPStatus.SERVICE_UNAVAILABLE,
    Outcome.BROKEN_OFF: HTTPStatus.BAD_REQUEST,
}

_SEVERITY = {Outcome.PUBLISHED: logging.INFO, Outcome.NOT_PUBLISHED: logging.ERROR}

# What the caller is told: never why a signature failed, never a library's text.
_ERROR_TEXT = {
    Outcome.REFUSED: "signature missing or wrong",
    Outcome.TOO_LARGE: "body too large",
    Outcome.NOT_PUBLISHED: "not stored, send it again",
    Outcome.BROKEN_OFF: "body incomplete",
}


@dataclass(slots=True, kw_only=True)
class _Webhook:
    """What is known of the request at work; the log line is written from it."""

    received_at: datetime
    trace: Trace
    event_type: str | None
    body: bytes = b""
    verified: bool = False
    message: Message | None = None
    message_id: str | None = None
    reason: str | None = None


def create_app(settings: ReceiverSettings, *, publisher: Publisher, now: Callable[[], float] = time.time) -> Flask:
    """Return the receiver. `now` gives Unix seconds, for the signature's age."""
    app = Flask("relay.receiver")
    # One byte more than allowed: a chunked body is cut at this length without an error, and must be seen to exceed.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    def receive_webhook(event_type: str | None = None) -> Response:
        if event_type is not None and not is_event_type(event_type):
            abort(HTTPStatus.NOT_FOUND)
        started = time.monotonic()
        trace = Trace.continued(request.headers.get("traceparent"))
        webhook = _Webhook(received_at=datetime.now(UTC), trace=trace, event_type=event_type)
        outcome = _relay(webhook, settings, publisher, now)
        _write_line(webhook, outcome, settings, latency_seconds=time.monotonic() - started)
        return _answer(webhook, outcome)

    app.add_url_rule("/webhooks/onestock", view_func=receive_webhook, methods=["POST"])
    app.add_url_rule("/webhooks/onestock/<event_type>", view_func=receive_webhook, methods=["POST"])
    app.add_url_rule("/health", "health", lambda: {"status": "ok"}, methods=["GET"])
    app.register_error_handler(Exception, _answer_unexpected)
    return app


def _relay(webhook: _Webhook, settings: ReceiverSettings, publisher: Publisher, now: Callable[[], float]) -> Outcome:
    try:
        webhook.body = _read_body(settings.max_body_bytes)
        _check_signature(webhook.body, settings, now())
        webhook.verified = True
        webhook.message = Message.from_webhook(
            webhook.body,
            event_type=webhook.event_type,
            content_type=request.content_type or "",
            received_at=webhook.received_at,
            traceparent=webhook.trace.traceparent,
        )
        webhook.message_id = publisher.publish(webhook.message, budget_seconds=settings.publish_budget_seconds)
    except SignatureError as error:
        webhook.reason = error.reason
        return Outcome.REFUSED
    except (RequestEntityTooLarge, MessageTooLarge) as error:
        webhook.reason = str(error)
        return Outcome.TOO_LARGE
    except PublishError as error:
        webhook.reason = str(error)
        return Outcome.NOT_PUBLISHED
    except HTTPException as error:
        webhook.reason = str(error)
        return Outcome.BROKEN_OFF
    return Outcome.PUBLISHED


def _read_body(max_body_bytes: int) -> bytes:
    body = request.get_data(cache=False)
    if len(body) > max_body_bytes:
        raise RequestEntityTooLarge
    return body


def _check_signature(body: bytes, settings: ReceiverSettings, now: float) -> None:
    if settings.signature == "off":
        return
    signature.verify(
        request.headers.get(signature.HEADER),
        body,
        keys=settings.hash_key_bytes,
        signed_string=settings.signed_string,
        tolerance_seconds=settings.signature_tolerance_seconds,
        now=now,
    )


def _write_line(webhook: _Webhook, outcome: Outcome, settings: ReceiverSettings, *, latency_seconds: float) -> None:
    """Write the canonical line, also for what was refused: with its content there, nothing is lost even then."""
    status = _STATUS[outcome]
    event_type = webhook.message.event_type if webhook.message else webhook.event_type or "unknown"
    labels = {"event_type": event_type}
    if webhook.message is not None:
        labels["event_id"] = webhook.message.event_id
        if webhook.message.ordering_key:
            labels["order_id"] = webhook.message.ordering_key
    fields: dict[str, Any] = {
        "line": "webhook",
        "outcome": outcome,
        "status": status,
        "message_id": webhook.message_id,
        "latency_ms": round(latency_seconds * 1000, 2),
        "body_bytes": len(webhook.body),
        **labels,
        **({"reason": webhook.reason} if webhook.reason else {}),
        **log.content_fields(webhook.body, settings.log_content, verified=webhook.verified),
    }
    http_request = {
        "requestMethod": request.method,
        "requestUrl": request.path,
        "status": int(status),
        "latency": f"{latency_seconds:.6f}s",
    }
    with log.logging_as(log.LogContext(trace=webhook.trace, labels=labels)):
        logger.log(
            _SEVERITY.get(outcome, logging.WARNING),
            "Webhook %s: %s in %.1f ms%s",
            event_type,
            outcome,
            latency_seconds * 1000,
            f": {webhook.reason}" if webhook.reason else "",
            extra={"json_fields": fields, "http_request": http_request},
        )


def _answer(webhook: _Webhook, outcome: Outcome) -> Response:
    if outcome is Outcome.PUBLISHED and webhook.message is not None:
        response = jsonify(event_id=webhook.message.event_id, message_id=webhook.message_id)
    else:
        response = jsonify(error=_ERROR_TEXT[outcome])
    response.status_code = _STATUS[outcome]
    if outcome is Outcome.NOT_PUBLISHED:
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def _answer_unexpected(error: Exception) -> Response | HTTPException:
    """Unknown means retry: an error that nobody foresaw is logged, and OneStock sends the webhook again."""
    if isinstance(error, HTTPException):
        return error
    logger.error("Unexpected error in %s; answered 503", request.path, exc_info=error)
    response = jsonify(error=_ERROR_TEXT[Outcome.NOT_PUBLISHED])
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response
