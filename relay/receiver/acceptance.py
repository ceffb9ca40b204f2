"""What becomes of a webhook: read, verify, publish, one log line. No Flask: a request's facts in, a decision out.

A 202 is a promise: Pub/Sub has confirmed the event. Nothing here looks anything up or outlives the response.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, assert_never

from relay import logs
from relay.errors import BodyIncomplete, BodyTooLarge, MessageTooLarge, Overloaded, PublishError, SignatureError
from relay.message import Message
from relay.pubsub.publisher import Publisher
from relay.receiver import signature
from relay.settings.base import LogContent
from relay.settings.receiver import ReceiverSettings, SignatureMode
from relay.tracing import Trace

MAX_SIGNATURE_HEADER = 500  # Characters; enough for every reading that `signature diagnose` knows, with three keys.
LAST_DAY_SECONDS = 86_400

logger = logging.getLogger(__name__)


class Ending(StrEnum):
    """How a webhook ended."""

    PUBLISHED = "published"
    REFUSED = "refused"
    TOO_LARGE = "too_large"
    NOT_PUBLISHED = "not_published"
    OVERLOADED = "overloaded"
    BROKEN_OFF = "broken_off"
    UNEXPECTED = "unexpected"

    @property
    def status(self) -> HTTPStatus:
        """The answer to OneStock."""
        match self:
            case Ending.PUBLISHED:
                return HTTPStatus.ACCEPTED
            case Ending.REFUSED:
                return HTTPStatus.UNAUTHORIZED
            case Ending.TOO_LARGE:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            case Ending.NOT_PUBLISHED | Ending.OVERLOADED | Ending.UNEXPECTED:
                return HTTPStatus.SERVICE_UNAVAILABLE
            case Ending.BROKEN_OFF:
                return HTTPStatus.BAD_REQUEST
            case _:
                assert_never(self)


_ERRORS = frozenset({Ending.NOT_PUBLISHED, Ending.OVERLOADED, Ending.UNEXPECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """What the request says before its body is read."""

    path: str
    event_type: str | None
    """The event type that the path names."""
    content_type: str
    signature: str | None
    trace: Trace
    received_at: datetime
    started: float
    """On the monotonic clock, in seconds."""


@dataclass(slots=True, kw_only=True)
class Decision:
    """What became of a webhook; the log line and the answer are written from it."""

    ending: Ending = Ending.UNEXPECTED
    reason: str | None = None
    fault: Exception | None = None
    """What nobody foresaw; its traceback is logged."""
    body: bytes = b""
    is_verified: bool = False
    message: Message | None = None
    message_id: str | None = None

    @property
    def event_id(self) -> str | None:
        """The event's identity; None before the body was accepted."""
        return self.message.event_id if self.message else None


class Acceptance:
    """Takes webhooks from the request to Pub/Sub; safe for any number of threads."""

    def __init__(self, settings: ReceiverSettings, publisher: Publisher, *, now: Callable[[], float]) -> None:
        """`now` gives Unix seconds, for the signature's age."""
        self._settings = settings
        self._publisher = publisher
        self._now = now
        self._keys = settings.hash_key_bytes

    def accept(self, webhook: Webhook, read_body: Callable[[], bytes]) -> Decision:
        """Publish the webhook and write its line. `read_body` raises BodyTooLarge, BodyIncomplete or Overloaded."""
        decision = Decision()
        try:
            self._publish(webhook, read_body, decision)
        except SignatureError as error:
            decision.ending, decision.reason = Ending.REFUSED, error.reason
        except (BodyTooLarge, MessageTooLarge) as error:
            decision.ending, decision.reason = Ending.TOO_LARGE, str(error)
        except Overloaded as error:
            decision.ending, decision.reason = Ending.OVERLOADED, str(error)
        except PublishError as error:
            decision.ending, decision.reason = Ending.NOT_PUBLISHED, str(error)
        except BodyIncomplete as error:
            decision.ending, decision.reason = Ending.BROKEN_OFF, str(error)
        except Exception as error:  # noqa: BLE001 - OneStock sends the webhook again, and the line has its content
            decision.ending, decision.fault = Ending.UNEXPECTED, error
        self._write_line(webhook, decision)
        return decision

    def _publish(self, webhook: Webhook, read_body: Callable[[], bytes], decision: Decision) -> None:
        decision.body = read_body()
        self._verify(webhook, decision)
        decision.message = Message.from_webhook(
            decision.body,
            event_type=webhook.event_type,
            content_type=webhook.content_type,
            received_at=webhook.received_at,
            traceparent=webhook.trace.traceparent,
        )
        budget_seconds = self._settings.publish_budget_seconds
        decision.message_id = self._publisher.publish(decision.message, budget_seconds=budget_seconds)
        decision.ending = Ending.PUBLISHED

    def _verify(self, webhook: Webhook, decision: Decision) -> None:
        """Check the signature. Raises SignatureError if it is wrong, unless such webhooks are recorded now."""
        if self._settings.signature is SignatureMode.OFF:
            decision.is_verified = True
            return
        try:
            signature.verify(
                webhook.signature,
                decision.body,
                keys=self._keys,
                signed_string=self._settings.signed_string,
                tolerance_seconds=self._settings.signature_tolerance_seconds,
                now=self._now(),
            )
        except SignatureError as error:
            self._raise_unless_recording(error)
            decision.reason = error.reason
            return
        decision.is_verified = True

    def _raise_unless_recording(self, error: SignatureError) -> None:
        if self._settings.signature is not SignatureMode.RECORD:
            raise error
        if self._settings.record_until is not None and self._seconds_of_recording_left() <= 0:
            raise SignatureError(f"{error.reason}; ONESTOCK_RECORD_UNTIL ended at {self._settings.record_until}")

    def _seconds_of_recording_left(self) -> float:
        until = self._settings.record_until
        return float("inf") if until is None else until.timestamp() - self._now()

    def _write_line(self, webhook: Webhook, decision: Decision) -> None:
        """Write the canonical line, also for what was refused: with its content there, nothing is lost even then."""
        latency_seconds = time.monotonic() - webhook.started
        ending, labels = decision.ending, _labels_of(webhook, decision)
        fields: dict[str, Any] = {
            "line": "webhook",
            "outcome": ending,
            "status": int(ending.status),
            "message_id": decision.message_id,
            "latency_ms": round(latency_seconds * 1000, 2),
            "body_bytes": len(decision.body),
            **labels,
            **self._content_fields(decision),
        }
        if decision.reason:
            fields["reason"] = decision.reason
        if not decision.is_verified and webhook.signature is not None:
            fields["signature_header"] = webhook.signature[:MAX_SIGNATURE_HEADER]
        text = f"Webhook {labels['event_type']}: {ending} in {latency_seconds * 1000:.1f} ms"
        logs.write(
            logger,
            self._severity_of(decision),
            f"{text}: {decision.reason}" if decision.reason else text,
            context=logs.LogContext(trace=webhook.trace, labels=labels),
            fields=fields,
            http_request={
                "requestMethod": "POST",
                "requestUrl": webhook.path,
                "status": int(ending.status),
                "latency": f"{latency_seconds:.6f}s",
            },
            fault=decision.fault,
        )

    def _content_fields(self, decision: Decision) -> dict[str, Any]:
        if self._settings.signature is SignatureMode.RECORD and self._seconds_of_recording_left() > 0:
            # `relay signature diagnose` needs the whole body of webhooks whose signature nobody can check yet.
            return logs.content_fields(decision.body, LogContent.FULL, verified=True)
        return logs.content_fields(decision.body, self._settings.log_content, verified=decision.is_verified)

    def _severity_of(self, decision: Decision) -> int:
        if decision.ending is not Ending.PUBLISHED:
            return logging.ERROR if decision.ending in _ERRORS else logging.WARNING
        if decision.is_verified:
            return logging.INFO
        # On the last day an error: what is accepted now is refused from then on.
        return logging.ERROR if self._seconds_of_recording_left() < LAST_DAY_SECONDS else logging.WARNING


def announce_recording(settings: ReceiverSettings, *, now: float) -> None:
    """Say in the log that webhooks are recorded with their content, and until when. `now` is in Unix seconds."""
    if settings.signature is not SignatureMode.RECORD:
        return
    until = settings.record_until
    if until is not None and until.timestamp() <= now:
        logger.warning("ONESTOCK_RECORD_UNTIL has passed: ONESTOCK_SIGNATURE=record acts as required; set it to that")
        return
    logger.warning(
        "ONESTOCK_SIGNATURE=record until %s: webhooks are accepted whatever their signature is. Whatever LOG_CONTENT "
        "says, each webhook's line holds its body, and the header %s if the signature is wrong",
        until.astimezone(UTC).isoformat() if until else "you set it to required",
        signature.HEADER,
    )


def _labels_of(webhook: Webhook, decision: Decision) -> dict[str, str]:
    message = decision.message
    if message is None:
        return {"event_type": webhook.event_type or "unknown"}
    labels = {"event_type": message.event_type, "event_id": message.event_id}
    if message.ordering_key:
        labels["order_id"] = message.ordering_key
    return labels
