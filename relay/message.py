"""What lies on a topic: an event as a Pub/Sub message, with every attribute that the relay sets or reads. No I/O.

The data is the webhook's raw body, byte for byte, or that body in gzip where it would not fit otherwise.
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ValidationError

from relay import moments
from relay.errors import MessageTooLarge
from relay.events import UNKNOWN_EVENT_TYPE, Delivery, event_id_of

MAX_DATA_BYTES = 9_500_000  # Pub/Sub refuses requests over 10 MB, attributes and framing included.
MAX_ORDERING_KEY_BYTES = MAX_ATTRIBUTE_BYTES = 1024  # Pub/Sub's limits; of an attribute, that of its value.
MAX_EVENT_TYPE_LENGTH = 128
MAX_ORDER_ID_BITS = 64  # An order id given as a number is turned into text; Python refuses that for huge ones.
MAX_COUNT_DIGITS = 12

_GZIP, _TRUE, _COMPLETED = "gzip", "true", "completed"
# Ours, and Pub/Sub's own on a message that it gave up ("Dead-letter topics", Google Cloud Pub/Sub documentation).
_DEAD_LETTER_PREFIXES = ("dead_letter", "CloudPubSubDeadLetter")


class Attribute(StrEnum):
    """The attributes of a message, in the order in which an event gets them."""

    EVENT_TYPE = "event_type"
    """The receiver sets it from the URL, else from the body."""
    EVENT_ID = "event_id"
    RECEIVED_AT = "received_at"
    """When the receiver took the webhook in; kept by every copy of the event."""
    CONTENT_TYPE = "content_type"
    CONTENT_ENCODING = "content_encoding"
    """`gzip` where the body would not fit otherwise."""
    TRACEPARENT = "traceparent"
    SYNTHETIC = "synthetic"
    """`true` where `relay reconcile` made the event up."""
    SMOKE = "smoke"
    """`true` on the event with which a deployment checks that events are handled."""
    GENERATION = "generation"
    """A redrive and a replay set it higher than it was before, so that the store runs handlers again."""
    REDRIVES = "redrives"
    """How often the event came back from the dead letters."""
    ONLY_HANDLER = "only_handler"
    """A redrive sets it to the handler that rejected the event: no other one runs."""
    RERUN = "rerun"
    """`completed` in a replay: handlers that have succeeded run again, too."""
    DEAD_LETTER_REASON = "dead_letter_reason"
    """The worker sets this and the following ones on the copy for the dead-letter topic; a redrive removes them."""
    DEAD_LETTER_HANDLER = "dead_letter_handler"
    DEAD_LETTER_ATTEMPT = "dead_letter_attempt"
    DEAD_LETTERED_AT = "dead_lettered_at"
    GIVEN_UP_ATTEMPTS = "CloudPubSubDeadLetterSourceDeliveryCount"
    """Pub/Sub sets it on what it gave up."""


def is_event_type(name: object) -> bool:
    """Return whether `name` can be an event type: 1 to 128 printable characters, none of them a slash.

    OneStock adds event types at any time, and customers name their own, so that no list can be closed.
    """
    return isinstance(name, str) and 0 < len(name) <= MAX_EVENT_TYPE_LENGTH and name.isprintable() and "/" not in name


def _order_id_or_nothing(value: Any) -> str:
    """Return the order id as an ordering key; empty where the body's value cannot be one."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= MAX_ORDER_ID_BITS:
        return str(value)
    if not isinstance(value, str) or len(value.encode()) > MAX_ORDERING_KEY_BYTES:
        return ""
    return value


class _Routing(BaseModel):
    """The two fields of a body that decide where it goes. Nothing in a body can make this fail but bad JSON."""

    order_id: Annotated[str, BeforeValidator(_order_id_or_nothing)] = ""
    topic: Annotated[str, BeforeValidator(lambda it: it if is_event_type(it) else UNKNOWN_EVENT_TYPE)] = (
        UNKNOWN_EVENT_TYPE
    )


_NO_ROUTING = _Routing()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterMarks:
    """What the attributes of a dead letter say about why nobody handled its event."""

    reason: str
    handler: str
    """The handler that rejected the event; empty where no single handler did."""
    attempts: int | None
    """How often the event had been delivered; None where the subscription did not count."""
    redrives: int
    """How often the event was redriven before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: `data` (bytes on the topic), `attributes`, and the ordering key (empty for none)."""

    data: bytes
    attributes: dict[str, str] = field(default_factory=dict)
    ordering_key: str = ""

    @classmethod
    def from_webhook(
        cls, body: bytes, *, event_type: str | None, content_type: str, received_at: datetime, traceparent: str
    ) -> Self:
        """Return the message for a verified webhook.

        `event_type` is the one that the URL names; None takes the body's `topic`, else `unknown`. Whatever the
        body holds is accepted: the worker judges it.

        Raises MessageTooLarge if the body does not fit into one message even in gzip.
        """
        routing = _read_routing(body)
        event_type = event_type or routing.topic
        data, encoding = _compressed_if_needed(body)
        attributes: dict[str, str] = {
            Attribute.EVENT_TYPE: event_type,
            Attribute.EVENT_ID: event_id_of(event_type, body),
            Attribute.RECEIVED_AT: moments.to_text(received_at),
            Attribute.CONTENT_TYPE: content_type[:MAX_ATTRIBUTE_BYTES] if content_type.isascii() else "",
            Attribute.TRACEPARENT: traceparent,
            **encoding,
        }
        return cls(data=data, attributes=attributes, ordering_key=routing.order_id)

    @classmethod
    def for_quarantine(cls, delivery: Delivery, *, reason: str, handler: str | None, now: datetime) -> Self:
        """Return the copy of the event for the dead-letter topic; `handler` rejected it, None if nobody could read it.

        Raises MessageTooLarge if the body does not fit into one message even in gzip.
        """
        original = dict(delivery.attributes)
        if delivery.damage is None:
            original.pop(Attribute.CONTENT_ENCODING, None)
        data, encoding = _compressed_if_needed(delivery.body)
        attributes: dict[str, str] = {
            **original,
            **encoding,
            **_identity_of(delivery),
            Attribute.DEAD_LETTER_REASON: _cut(reason),
            Attribute.DEAD_LETTERED_AT: moments.to_text(now),
        }
        if handler is not None:
            attributes[Attribute.DEAD_LETTER_HANDLER] = _cut(handler)
        if delivery.delivery_attempt is not None:
            attributes[Attribute.DEAD_LETTER_ATTEMPT] = str(delivery.delivery_attempt)
        return cls(data=data, attributes=attributes, ordering_key=delivery.ordering_key)

    def as_synthetic(self) -> Self:
        """Return the message marked as made up from what OneStock's API tells, and not sent by OneStock."""
        return replace(self, attributes={**self.attributes, Attribute.SYNTHETIC: _TRUE})

    def redriven(self, delivery: Delivery, *, now: datetime) -> "Message":
        """Return this dead letter, whose event is `delivery`, as the message that brings the event back to the topic.

        The generation, at least the Unix time, is higher than in any earlier redrive or replay of the event.
        """
        marks = self.dead_letter_marks
        attributes: dict[str, str] = {
            **{name: value for name, value in self.attributes.items() if not _ends_with_a_redrive(name)},
            **_identity_of(delivery),
            Attribute.GENERATION: str(max(delivery.generation + 1, int(now.timestamp()))),
            Attribute.REDRIVES: str(marks.redrives + 1),
        }
        if marks.handler:
            attributes[Attribute.ONLY_HANDLER] = marks.handler
        return Message(data=self.data, attributes=attributes, ordering_key=delivery.ordering_key)

    def replayed(self, delivery: Delivery, *, generation: int) -> "Message":
        """Return the message that runs every handler of the event again, also those that have succeeded."""
        attributes: dict[str, str] = {
            **{name: value for name, value in self.attributes.items() if name != Attribute.ONLY_HANDLER},
            **_identity_of(delivery),
            Attribute.GENERATION: str(generation),
            Attribute.RERUN: _COMPLETED,
        }
        return Message(data=self.data, attributes=attributes, ordering_key=delivery.ordering_key)

    @property
    def event_id(self) -> str:
        """The event's identity, empty where nobody gave it one."""
        return self.attributes.get(Attribute.EVENT_ID, "")

    @property
    def event_type(self) -> str:
        """The event type that the message was published under."""
        return self.attributes.get(Attribute.EVENT_TYPE, UNKNOWN_EVENT_TYPE)

    @property
    def dead_letter_marks(self) -> DeadLetterMarks:
        """What the worker, or Pub/Sub, said when it gave the event up."""
        attempts = _count(self.attributes, Attribute.DEAD_LETTER_ATTEMPT, Attribute.GIVEN_UP_ATTEMPTS)
        given_up = f"Pub/Sub gave up after {attempts or 'too many'} delivery attempts"
        only_handler = self.attributes.get(Attribute.ONLY_HANDLER, "")
        return DeadLetterMarks(
            reason=self.attributes.get(Attribute.DEAD_LETTER_REASON, given_up),
            handler=self.attributes.get(Attribute.DEAD_LETTER_HANDLER, only_handler),
            attempts=attempts,
            redrives=_count(self.attributes, Attribute.REDRIVES) or 0,
        )

    def to_delivery(
        self, *, message_id: str, published_at: datetime, delivery_attempt: int | None, max_body_bytes: int
    ) -> Delivery:
        """Return the delivery of this message; one that was published by hand gets its identity here.

        Data that cannot be decompressed, or exceeds `max_body_bytes` when it is, makes a delivery with `damage`.
        """
        body, damage = self._restore_body(max_body_bytes)
        names_both = bool(self.attributes.get(Attribute.EVENT_TYPE) and self.ordering_key)
        routing = _NO_ROUTING if names_both else _read_routing(body)
        event_type = self.attributes.get(Attribute.EVENT_TYPE) or routing.topic
        return Delivery(
            event_id=self.event_id or event_id_of(event_type, body),
            event_type=event_type,
            body=body,
            received_at=moments.from_text(self.attributes.get(Attribute.RECEIVED_AT)) or published_at,
            damage=damage,
            attributes=self.attributes,
            message_id=message_id,
            delivery_attempt=delivery_attempt,
            ordering_key=self.ordering_key or routing.order_id,
            generation=_count(self.attributes, Attribute.GENERATION) or 0,
            redrives=_count(self.attributes, Attribute.REDRIVES) or 0,
            reruns_completed=self.attributes.get(Attribute.RERUN) == _COMPLETED,
            only_handler=self.attributes.get(Attribute.ONLY_HANDLER, ""),
            traceparent=self.attributes.get(Attribute.TRACEPARENT),
            is_synthetic=self.attributes.get(Attribute.SYNTHETIC) == _TRUE,
            is_smoke=self.attributes.get(Attribute.SMOKE) == _TRUE,
        )

    def _restore_body(self, max_body_bytes: int) -> tuple[bytes, str | None]:
        if self.attributes.get(Attribute.CONTENT_ENCODING) != _GZIP:
            return self.data, None
        decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            body = decompressor.decompress(self.data, max_body_bytes + 1)
        except zlib.error as error:
            return self.data, f"the data is marked as gzip but is not: {error}"
        if len(body) > max_body_bytes:
            return self.data, f"the data holds more than {max_body_bytes} bytes when decompressed"
        if not decompressor.eof:
            return self.data, "the data is marked as gzip but ends too early"
        return body, None


def _identity_of(delivery: Delivery) -> dict[str, str]:
    """Return the attributes that every copy of an event keeps, also where its first message lacked them."""
    return {
        Attribute.EVENT_ID: delivery.event_id,
        Attribute.EVENT_TYPE: delivery.event_type,
        Attribute.RECEIVED_AT: moments.to_text(delivery.received_at),
    }


def _ends_with_a_redrive(name: str) -> bool:
    return name.startswith(_DEAD_LETTER_PREFIXES) or name in (Attribute.RERUN, Attribute.ONLY_HANDLER)


def _compressed_if_needed(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the data for `body` and the attribute that says how to read it. Raises MessageTooLarge."""
    if len(body) <= MAX_DATA_BYTES:
        return body, {}
    data = gzip.compress(body, compresslevel=6, mtime=0)
    if len(data) > MAX_DATA_BYTES:
        raise MessageTooLarge(
            f"the body has {len(body)} bytes, {len(data)} in gzip; one Pub/Sub message holds {MAX_DATA_BYTES}"
        )
    return data, {Attribute.CONTENT_ENCODING: _GZIP}


def _count(attributes: Mapping[str, str], *names: Attribute) -> int | None:
    """Return the number in the first of the attributes that is there; None where it holds none."""
    text = next((attributes[name] for name in names if name in attributes), "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_COUNT_DIGITS else None


def _cut(text: str) -> str:
    """Cut `text` to what an attribute holds, without splitting a character."""
    return text.encode(errors="replace")[:MAX_ATTRIBUTE_BYTES].decode(errors="ignore")


def _read_routing(body: bytes) -> _Routing:
    try:
        return _Routing.model_validate_json(body)
    except ValidationError:
        return _NO_ROUTING
