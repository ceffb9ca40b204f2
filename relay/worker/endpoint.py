"""The push endpoint's HTTP side, as plain WSGI: a push in, one log line, the outcome's status out.

It stands in front of Flask, which answers everything else, as the receiver's does.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from relay import log
from relay.errors import AuthenticationError, BodyIncomplete, BodyTooLarge, EnvelopeError
from relay.events import Delivery, labels_of
from relay.registry import suggestion_for
from relay.request_body import read_body
from relay.settings.worker import WorkerSettings
from relay.trace import Trace
from relay.worker import push
from relay.worker.auth import Authenticate
from relay.worker.dispatch import Dispatcher, Outcome, Run

PATH = "/pubsub/push"
_UNWRAPPED = "HTTP_" + push.MESSAGE_ID_HEADER.upper().replace("-", "_")

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


class PushEndpoint:
    """A WSGI application: answers pushes, and hands every other request to `otherwise`."""

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        authenticate: Authenticate,
        dispatcher: Dispatcher,
        otherwise: WSGIApplication,
        write_line: log.WriteLine = log.write_by_logging,
    ) -> None:
        self._max_body_bytes = settings.max_body_bytes
        self._max_envelope_bytes = int(settings.max_body_bytes * _ENVELOPE_FACTOR) + _ENVELOPE_EXTRA_BYTES
        self._authenticate = authenticate
        self._dispatcher = dispatcher
        self._otherwise = otherwise
        self._write = write_line

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; its line is written before this returns."""
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] != "POST":
            return self._otherwise(environ, start_response)
        status = self._status_for(environ)
        if status == HTTPStatus.NO_CONTENT:
            start_response("204 No Content", [])
        else:
            start_response(f"{status:d} {HTTPStatus(status).phrase}", [("Content-Length", "0")])
        return ()

    def _status_for(self, environ: WSGIEnvironment) -> int:
        try:
            return self._receive(environ)
        except EnvelopeError as error:
            logger.error("Push refused: %s", error, extra=_refused("bad_envelope", HTTPStatus.BAD_REQUEST))  # noqa: TRY400 - the text says it all
            return HTTPStatus.BAD_REQUEST
        except AuthenticationError as error:
            logger.warning("Push refused: %s", error.reason, extra=_refused("unauthenticated", error.status))
            return error.status
        except Exception:
            # Unknown means retry: what nobody foresaw is logged and nacked.
            status = HTTPStatus.SERVICE_UNAVAILABLE
            logger.exception("Unexpected error in %s; nacked", PATH, extra=_refused("unexpected", status))
            return status

    def _receive(self, environ: WSGIEnvironment) -> HTTPStatus:
        started = time.monotonic()
        self._authenticate(environ.get("HTTP_AUTHORIZATION"))
        delivery = push.read(
            _headers_of(environ),
            self._read_body(environ),
            max_body_bytes=self._max_body_bytes,
            now=datetime.now(UTC),
        )
        context = log.LogContext(trace=Trace.continued(delivery.traceparent), labels=labels_of(delivery))
        with log.logging_as(context):
            outcome, runs = self._dispatcher.dispatch(delivery)
        self._write_line(delivery, outcome, runs, context=context, latency_seconds=time.monotonic() - started)
        return outcome.status

    def _read_body(self, environ: WSGIEnvironment) -> bytes:
        try:
            return read_body(environ, max_bytes=self._max_envelope_bytes)
        except (BodyTooLarge, BodyIncomplete) as error:
            raise EnvelopeError(f"the request cannot be read: {error}") from error

    def _write_line(
        self, delivery: Delivery, outcome: Outcome, runs: list[Run], *, context: log.LogContext, latency_seconds: float
    ) -> None:
        status = int(outcome.status)
        fields: dict[str, Any] = {
            "line": "delivery",
            "outcome": outcome,
            "status": status,
            "message_id": delivery.message_id,
            "delivery_attempt": delivery.delivery_attempt,
            "generation": delivery.generation,
            "latency_ms": round(latency_seconds * 1000, 2),
            "age_ms": round((datetime.now(UTC) - delivery.received_at).total_seconds() * 1000),
            "handlers": [_fields_of(run) for run in runs],
            # By itself, since a log query cannot ask for a name and an outcome of one and the same handler.
            "failed_handlers": [run.handler for run in runs if run.outcome not in _NO_FAILURE],
            **({"synthetic": True} if delivery.is_synthetic else {}),
            **context.labels,
        }
        http_request = {
            "requestMethod": "POST",
            "requestUrl": PATH,
            "status": status,
            "latency": f"{latency_seconds:.6f}s",
        }
        self._write(
            log.Line(
                logger=__name__,
                severity=_SEVERITY.get(outcome, logging.ERROR),
                message=_text_of(delivery, outcome, runs, latency_seconds),
                context=context,
                fields=fields,
                http_request=http_request,
            )
        )


def _headers_of(environ: WSGIEnvironment) -> Mapping[str, str]:
    """Return the headers of an unwrapped push under lower-case names; a wrapped one's say nothing about the message."""
    if _UNWRAPPED not in environ:
        return {}
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def _refused(outcome: str, status: int) -> dict[str, Any]:
    return {"json_fields": {"line": "delivery", "outcome": outcome, "status": status}}


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
