"""What becomes of a webhook: check the signature, publish, write one line. A request's facts in, an outcome out.

A 202 is a promise: Pub/Sub has confirmed the event. Nothing here looks anything up or outlives the response.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from relay import log, signature
from relay.errors import BodyIncomplete, BodyTooLarge, MessageTooLarge, PublishError, SignatureError
from relay.message import Message
from relay.pubsub.publisher import Publisher
from relay.settings.receiver import ReceiverSettings
from relay.trace import Trace

if TYPE_CHECKING:
    from relay.receiver.record import Recorded, Recorder

MAX_SIGNATURE_HEADER = 500  # Enough for every reading that `signature diagnose` knows, with three keys.


class Outcome(StrEnum):
    """How a webhook ended."""

    PUBLISHED = "published"
    REFUSED = "refused"
    TOO_LARGE = "too_large"
    NOT_PUBLISHED = "not_published"
    BROKEN_OFF = "broken_off"


STATUS = {
    Outcome.PUBLISHED: HTTPStatus.ACCEPTED,
    Outcome.REFUSED: HTTPStatus.UNAUTHORIZED,
    Outcome.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Outcome.NOT_PUBLISHED: HTTPStatus.SERVICE_UNAVAILABLE,
    Outcome.BROKEN_OFF: HTTPStatus.BAD_REQUEST,
}

_SEVERITY = {Outcome.PUBLISHED: logging.INFO, Outcome.NOT_PUBLISHED: logging.ERROR}


@dataclass(slots=True, kw_only=True)
class Webhook:
    """What is known of the request at work; the log line and the answer are written from it."""

    path: str
    event_type: str | None
    """The event type that the path names."""
    content_type: str
    signature: str | None
    trace: Trace
    received_at: datetime
    started: float
    """On the monotonic clock, in seconds."""
    body: bytes = b""
    verified: bool = False
    message: Message | None = None
    message_id: str | None = None
    reason: str | None = None
    recorded: "Recorded | None" = None
    """Set where the signature was refused and the webhook published all the same."""


class Relay:
    """Takes webhooks from the request to Pub/Sub."""

    def __init__(
        self,
        settings: ReceiverSettings,
        publisher: Publisher,
        *,
        now: Callable[[], float],
        recorder: "Recorder | None" = None,
        write_line: log.WriteLine = log.write_by_logging,
    ) -> None:
        """`now` gives Unix seconds, for the signature's age; `recorder` is set for ONESTOCK_SIGNATURE=record."""
        self._settings = settings
        self._publisher = publisher
        self._now = now
        self._recorder = recorder
        self._write = write_line
        self._keys = settings.hash_key_bytes
        self._checks_signature = settings.signature != "off"

    def relay(self, webhook: Webhook, read_body: Callable[[], bytes]) -> Outcome:
        """Publish the webhook and write its line. `read_body` raises BodyTooLarge or BodyIncomplete."""
        outcome = self._publish(webhook, read_body)
        self._write_line(webhook, outcome)
        return outcome

    def _publish(self, webhook: Webhook, read_body: Callable[[], bytes]) -> Outcome:
        try:
            webhook.body = read_body()
            webhook.verified = not self._checks_signature or self._verify(webhook)
            webhook.message = Message.from_webhook(
                webhook.body,
                event_type=webhook.event_type,
                content_type=webhook.content_type,
                received_at=webhook.received_at,
                traceparent=webhook.trace.traceparent,
            )
            webhook.message_id = self._publisher.publish(
                webhook.message, budget_seconds=self._settings.publish_budget_seconds
            )
        except SignatureError as error:
            webhook.reason = error.reason
            return Outcome.REFUSED
        except (BodyTooLarge, MessageTooLarge) as error:
            webhook.reason = str(error)
            return Outcome.TOO_LARGE
        except PublishError as error:
            webhook.reason = str(error)
            return Outcome.NOT_PUBLISHED
        except BodyIncomplete as error:
            webhook.reason = str(error)
            return Outcome.BROKEN_OFF
        return Outcome.PUBLISHED

    def _verify(self, webhook: Webhook) -> bool:
        """Return whether the signature holds. Raises SignatureError if not, unless such webhooks are recorded."""
        try:
            signature.verify(
                webhook.signature,
                webhook.body,
                keys=self._keys,
                signed_string=self._settings.signed_string,
                tolerance_seconds=self._settings.signature_tolerance_seconds,
                now=self._now(),
            )
        except SignatureError as error:
            if self._recorder is None:
                raise
            webhook.recorded = self._recorder.record(webhook.signature, webhook.body, error)
            webhook.reason = error.reason
            return False
        return True

    def _write_line(self, webhook: Webhook, outcome: Outcome) -> None:
        """Write the canonical line, also for what was refused: with its content there, nothing is lost even then."""
        latency_seconds = time.monotonic() - webhook.started
        status = int(STATUS[outcome])
        labels = _labels_of(webhook)
        fields: dict[str, Any] = {
            "line": "webhook",
            "outcome": outcome,
            "status": status,
            "message_id": webhook.message_id,
            "latency_ms": round(latency_seconds * 1000, 2),
            "body_bytes": len(webhook.body),
            **labels,
            **log.content_fields(webhook.body, self._settings.log_content, verified=webhook.verified),
        }
        if webhook.reason:
            fields["reason"] = webhook.reason
        if not webhook.verified and webhook.signature is not None:
            fields["signature_header"] = webhook.signature[:MAX_SIGNATURE_HEADER]
        if webhook.recorded is not None:
            fields["signature_reading"] = webhook.recorded.reading
        http_request = {
            "requestMethod": "POST",
            "requestUrl": webhook.path,
            "status": status,
            "latency": f"{latency_seconds:.6f}s",
        }
        message = f"Webhook {labels['event_type']}: {outcome} in {latency_seconds * 1000:.1f} ms"
        self._write(
            log.Line(
                logger=__name__,
                severity=_severity_of(webhook, outcome),
                message=f"{message}: {webhook.reason}" if webhook.reason else message,
                context=log.LogContext(trace=webhook.trace, labels=labels),
                fields=fields,
                http_request=http_request,
            )
        )


def _severity_of(webhook: Webhook, outcome: Outcome) -> int:
    severity = _SEVERITY.get(outcome, logging.WARNING)
    return severity if webhook.recorded is None else max(severity, webhook.recorded.severity)


def _labels_of(webhook: Webhook) -> dict[str, str]:
    message = webhook.message
    if message is None:
        return {"event_type": webhook.event_type or "unknown"}
    labels = {"event_type": message.event_type, "event_id": message.event_id}
    if message.ordering_key:
        labels["order_id"] = message.ordering_key
    return labels
