"""The webhook endpoint's HTTP side, as plain WSGI: a POST in, an answer out.

It stands in front of Flask, which answers everything else: making Flask's request, context and response for a webhook
takes longer than everything that the relay does for it (bench/README.md).
"""

import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from relay.message import is_event_type
from relay.receiver.webhook import STATUS, Outcome, Relay, Webhook
from relay.request_body import read_body
from relay.trace import Trace

PATH = "/webhooks/onestock"
RETRY_AFTER_SECONDS = "30"  # OneStock's own first pause ("Webhook configuration").

# What the caller is told: never why a signature failed, never a library's text.
_ERRORS = {
    Outcome.REFUSED: b'{"error":"signature missing or wrong"}\n',
    Outcome.TOO_LARGE: b'{"error":"body too large"}\n',
    Outcome.NOT_PUBLISHED: b'{"error":"not stored, send it again"}\n',
    Outcome.BROKEN_OFF: b'{"error":"body incomplete"}\n',
}
_STATUS_LINES = {outcome: f"{status.value} {status.phrase}" for outcome, status in STATUS.items()}

logger = logging.getLogger(__name__)


class WebhookEndpoint:
    """A WSGI application: answers webhooks, and hands every other request to `otherwise`."""

    def __init__(self, relay: Relay, *, max_body_bytes: int, otherwise: WSGIApplication) -> None:
        self._relay = relay
        self._max_body_bytes = max_body_bytes
        self._otherwise = otherwise

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; its trace, its line and its publish end before this returns."""
        path: str = environ["PATH_INFO"]
        event_type = _event_type_of(path)
        is_webhook = event_type is None or is_event_type(event_type)
        if environ["REQUEST_METHOD"] != "POST" or not is_webhook:
            return self._otherwise(environ, start_response)
        webhook = Webhook(
            path=path,
            event_type=event_type,
            content_type=environ.get("CONTENT_TYPE", ""),
            signature=environ.get("HTTP_ONESTOCK_SIGNATURE"),
            trace=Trace.continued(environ.get("HTTP_TRACEPARENT")),
            received_at=datetime.now(UTC),
            started=time.monotonic(),
        )
        try:
            outcome = self._relay.relay(webhook, lambda: read_body(environ, max_bytes=self._max_body_bytes))
        except Exception:
            # Unknown means retry: what nobody foresaw is logged, and OneStock sends the webhook again.
            fields = {"line": "webhook", "outcome": "unexpected", "status": HTTPStatus.SERVICE_UNAVAILABLE}
            logger.exception("Unexpected error in %s; answered 503", path, extra={"json_fields": fields})
            outcome = Outcome.NOT_PUBLISHED
        return _answer(webhook, outcome, start_response)


def _event_type_of(path: str) -> str | None:
    """Return the event type that `path` names: None for the bare path, empty for a path that is no webhook's."""
    if path == PATH:
        return None
    before, slash, name = path.rpartition("/")
    # WSGI gives the path's bytes as Latin-1.
    return name.encode("latin-1").decode(errors="replace") if before + slash == f"{PATH}/" else ""


def _answer(webhook: Webhook, outcome: Outcome, start_response: StartResponse) -> Iterable[bytes]:
    if outcome is Outcome.PUBLISHED and webhook.message is not None:
        event_id, message_id = webhook.message.event_id, webhook.message_id
        body = f'{{"event_id":"{event_id}","message_id":"{message_id}"}}\n'.encode()
    else:
        body = _ERRORS[outcome]
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if STATUS[outcome] is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", RETRY_AFTER_SECONDS))
    start_response(_STATUS_LINES[outcome], headers)
    return (body,)
