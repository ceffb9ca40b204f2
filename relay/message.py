"""What lies on the topic: a webhook as a Pub/Sub message, and back. No I/O.

The data is the webhook's raw body, byte for byte, or that body in gzip where it would not fit otherwise.
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ValidationError

from relay.errors import MessageTooLarge
from relay.events import UNKNOWN_EVENT_TYPE, Delivery, event_id_of

MAX_DATA_BYTES = 9_500_000  # Pub/Sub refuses requests over 10 MB, attributes and framing included.
MAX_ORDERING_KEY_BYTES = 1024  # Pub/Sub's limit.
MAX_ATTRIBUTE_BYTES = 1024  # Pub/Sub's limit for an attribute's value.
MAX_EVENT_TYPE_LENGTH = 128
MAX_ORDER_ID_BITS = 64  # An order id given as a number is turned into text; Python refuses that for huge ones.
MAX_COUNT_DIGITS = 12


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


def _event_type_or_unknown(value: Any) -> str:
    return value if is_event_type(value) else UNKNOWN_EVENT_TYPE


class _Routing(BaseModel):
    """The two fields of a body that decide where it goes. Nothing in a body can make this fail but bad JSON."""

    order_id: Annotated[str, BeforeValidator(_order_id_or_nothing)] = ""
    topic: Annotated[str, BeforeValidator(_event_type_or_unknown)] = UNKNOWN_EVENT_TYPE


_NO_ROUTING = _Routing()


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
        data, encoding = compressed_if_needed(body)
        attributes = {
            "event_type": event_type,
            "event_id": event_id_of(event_type, body),
            "received_at": received_at.isoformat(timespec="milliseconds"),
            "content_type": content_type[:MAX_ATTRIBUTE_BYTES] if content_type.isascii() else "",
            "traceparent": traceparent,
            **encoding,
        }
        return cls(data=data, attributes=attributes, ordering_key=routing.order_id)

    def as_synthetic(self) -> Self:
        """Return the message marked as made up from what OneStock's API tells, and not sent by OneStock."""
        return replace(self, attributes={**self.attributes, "synthetic": "true"})

    @property
    def event_id(self) -> str:
        """The event's identity, empty where nobody gave it one."""
        return self.attributes.get("event_id", "")

    @property
    def event_type(self) -> str:
        """The event type that the message was published under."""
        return self.attributes.get("event_type", UNKNOWN_EVENT_TYPE)

    @property
    def size_bytes(self) -> int:
        """What the message takes of a publish request, at most."""
        framing_bytes = 64
        attributes = sum(4 * (len(name) + len(value)) + 16 for name, value in self.attributes.items())
        return len(self.data) + attributes + 4 * len(self.ordering_key) + framing_bytes

    def to_delivery(
        self, *, message_id: str, published_at: datetime, delivery_attempt: int | None, max_body_bytes: int
    ) -> Delivery:
        """Return the delivery of this message; one that was published by hand gets its identity here.

        Data that cannot be decompressed, or exceeds `max_body_bytes` when it is, makes a delivery with `damage`.
        """
        body, damage = self._restore_body(max_body_bytes)
        names_both = bool(self.attributes.get("event_type") and self.ordering_key)
        routing = _NO_ROUTING if names_both else _read_routing(body)
        event_type = self.attributes.get("event_type") or routing.topic
        return Delivery(
            event_id=self.event_id or event_id_of(event_type, body),
            event_type=event_type,
            body=body,
            received_at=_moment(self.attributes.get("received_at")) or published_at,
            damage=damage,
            attributes=self.attributes,
            message_id=message_id,
            delivery_attempt=delivery_attempt,
            ordering_key=self.ordering_key or routing.order_id,
            generation=generation_of(self.attributes),
            reruns_completed=self.attributes.get("rerun") == "completed",
            only_handler=self.attributes.get("only_handler", ""),
            traceparent=self.attributes.get("traceparent"),
            is_synthetic=self.attributes.get("synthetic") == "true",
            is_smoke=self.attributes.get("smoke") == "true",
        )

    def _restore_body(self, max_body_bytes: int) -> tuple[bytes, str | None]:
        if self.attributes.get("content_encoding") != "gzip":
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


def compressed_if_needed(body: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the data for `body` and the attributes that say how to read it.

    Raises MessageTooLarge if the body does not fit into one message even in gzip.
    """
    if len(body) <= MAX_DATA_BYTES:
        return body, {}
    data = gzip.compress(body, compresslevel=6, mtime=0)
    if len(data) > MAX_DATA_BYTES:
        raise MessageTooLarge(
            f"the body has {len(body)} bytes, {len(data)} in gzip; one Pub/Sub message holds {MAX_DATA_BYTES}"
        )
    return data, {"content_encoding": "gzip"}


def generation_of(attributes: Mapping[str, str]) -> int:
    """Return the message's generation: 0 for what OneStock sent, higher for each redrive or replay."""
    return _count(attributes, "generation")


def redrives_of(attributes: Mapping[str, str]) -> int:
    """Return how often the message came back from the dead letters."""
    return _count(attributes, "redrives")


def _count(attributes: Mapping[str, str], name: str) -> int:
    text = attributes.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_COUNT_DIGITS else 0


def _read_routing(body: bytes) -> _Routing:
    try:
        return _Routing.model_validate_json(body)
    except ValidationError:
        return _NO_ROUTING


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
