"""Events as handlers see them: one model for each of OneStock's event types, with the delivery it came in. No I/O.

The models require only what "Webhook configuration" (OneStock) makes certain, and keep every unknown field.
"""

import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_core import from_json

from relay.errors import HandlerError, UnreadableContent

UNKNOWN_EVENT_TYPE = "unknown"


def event_id_of(event_type: str, body: bytes) -> str:
    """Return the event's identity: the same for each retry by OneStock and each redelivery by Pub/Sub."""
    return hashlib.sha256(event_type.encode() + b"\n" + body).hexdigest()


def is_handler(name: str, wanted: str) -> bool:
    """Return whether `wanted` means the handler: its name, an ending of it at a dot, or nothing at all."""
    return not wanted or f".{name}".endswith(f".{wanted}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One push of one message. Its body need not be readable."""

    event_id: str
    event_type: str
    body: bytes
    """The webhook's body as OneStock sent it."""
    received_at: datetime
    """When the receiver took the webhook in (UTC)."""
    damage: str | None = None
    """Why `body` could not be decompressed: `body` is then the message's data as it came. None if all is well."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """The message's attributes, as they came."""
    message_id: str = ""
    delivery_attempt: int | None = None
    """1 for the first; None where the subscription has no dead-letter policy."""
    ordering_key: str = ""
    generation: int = 0
    """0 for what OneStock sent; each redrive or replay on purpose has a higher one."""
    redrives: int = 0
    """How often this message's event came back from the dead letters."""
    reruns_completed: bool = False
    """True for a replay: handlers that have completed this event run again."""
    only_handler: str = ""
    """The one handler that runs, in a redrive of what it rejected; empty for all handlers of the event type."""
    traceparent: str | None = None
    is_synthetic: bool = False
    """Whether the relay made the event from OneStock's API, in place of a webhook that may have been lost."""
    is_smoke: bool = False
    """Whether a deployment published it to see that events are handled; it reaches no handler of the customer's."""


class Event(BaseModel):
    """Any event. A subclass adds the fields of its event types; the body's other fields are kept in `model_extra`.

    An event that was not delivered, such as one that a handler's test makes, gets a delivery built from its own fields.
    """

    # defer_build: the receiver imports the models and uses none; building them takes 3 % of its start.
    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True, defer_build=True)

    event_types: ClassVar[frozenset[str]] = frozenset()
    """The event types that this model describes; empty where it fits any."""

    _delivery: Delivery | None = PrivateAttr(default=None)
    _content: dict[str, Any] | None = PrivateAttr(default=None)
    _check_claim: Callable[[float], None] | None = PrivateAttr(default=None)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for name in cls.model_fields:
            if name in _OWN_NAMES:
                message = (
                    f"{cls.__module__}.{cls.__qualname__}: the field {name!r} would hide the event's own; "
                    f"rename it and give it Field(alias={name!r})"
                )
                raise HandlerError(message)

    @classmethod
    def of(
        cls, delivery: Delivery, content: dict[str, Any], *, check_claim: Callable[[float], None] | None = None
    ) -> Self:
        """Return the event of `delivery`; `content` is its parsed body, `check_claim` raises if the claim is lost.

        Raises UnreadableContent with the names of the fields that do not fit, never with their values.
        """
        try:
            event = cls.model_validate(content)
        except ValidationError as error:
            raise UnreadableContent(f"does not fit {cls.__name__}: {_describe(error)}") from error
        event._delivery, event._content, event._check_claim = delivery, content, check_claim  # noqa: SLF001 - its own
        return event

    @property
    def delivery(self) -> Delivery:
        """The delivery that brought this event."""
        if self._delivery is None:
            self._delivery = self._made_up_delivery()
        return self._delivery

    @property
    def event_id(self) -> str:
        """The identity, 64 hex digits. A handler can pass it on as the idempotency key of the calls that it makes."""
        return self.delivery.event_id

    @property
    def event_type(self) -> str:
        """OneStock's name for the kind of event, such as `order_state_changed`."""
        return self.delivery.event_type

    @property
    def received_at(self) -> datetime:
        """When the receiver took the webhook in (UTC)."""
        return self.delivery.received_at

    @property
    def occurred_at(self) -> datetime | None:
        """The body's `date` (Unix seconds) in UTC; None if the body has no such number."""
        return moment_of(self.content.get("date"))

    @property
    def delivery_attempt(self) -> int | None:
        """The number of Pub/Sub's delivery attempt, from 1; None if the subscription does not count attempts."""
        return self.delivery.delivery_attempt

    @property
    def is_synthetic(self) -> bool:
        """Whether `relay reconcile` made the event, in place of a webhook that may have been lost."""
        return self.delivery.is_synthetic

    @property
    def raw_body(self) -> bytes:
        """The webhook's body as OneStock sent it, byte for byte."""
        return self.delivery.body

    @property
    def content(self) -> dict[str, Any]:
        """The parsed body, unknown fields included. Do not change it: the other handlers get the same object."""
        return self.model_dump(exclude_unset=True) if self._content is None else self._content

    @property
    def log_context(self) -> dict[str, Any]:
        """What to pass as `extra=` where a thread that the handler has started logs; elsewhere that is automatic."""
        return {"labels": labels_of(self.delivery)}

    def check_claim(self, for_seconds: float = 0.0) -> None:
        """Return if this run still holds its claim, and will for `for_seconds` more; else stop the handler.

        Call it right before an effect that must not happen twice and that cannot be undone, with the time that the
        effect may take. A run that was frozen for longer than its lease (Cloud Run may withdraw the CPU) would
        otherwise repeat what another delivery has done meanwhile. Let the exception pass: the delivery is nacked.
        An event that was made by hand always holds its claim.
        """
        if self._check_claim is not None:
            self._check_claim(for_seconds)

    def _made_up_delivery(self) -> Delivery:
        event_type = min(self.event_types, default=UNKNOWN_EVENT_TYPE)
        body = self.model_dump_json(exclude_unset=True).encode()
        event_id = event_id_of(event_type, body)
        return Delivery(event_id=event_id, event_type=event_type, body=body, received_at=datetime.now(UTC))


# The property would hide a field of the same name, and pydantic only warns of it.
_OWN_NAMES = frozenset(name for name, value in vars(Event).items() if isinstance(value, property))


class OrderStateChanged(Event):
    """An order went from one state to another. The states are the customer's own, defined in its workflows."""

    event_types = frozenset({"order_state_changed"})

    order_id: str
    new_state: str
    old_state: str | None = None


class ParcelStateChanged(Event):
    """A parcel went from one state to another. No field is certain: OneStock has not published this event."""

    event_types = frozenset({"parcel_state_changed"})

    parcel_id: str | None = Field(default=None, validation_alias=AliasChoices("parcel_id", "id"))
    order_id: str | None = None
    new_state: str | None = None
    old_state: str | None = None


class LineItemGroupStateChanged(Event):
    """A group of equal items of an order changed its state. No field is certain, as for parcels."""

    event_types = frozenset({"line_item_group_state_changed"})

    line_item_group_id: str | None = Field(default=None, validation_alias=AliasChoices("line_item_group_id", "id"))
    order_id: str | None = None
    new_state: str | None = None
    old_state: str | None = None


class StockImportErrorOccurred(Event):
    """A stock import failed. No field is certain."""

    event_types = frozenset({"stock_import_error_occurred"})


KNOWN_EVENT_TYPES = frozenset(
    event_type
    for model in (OrderStateChanged, LineItemGroupStateChanged, ParcelStateChanged, StockImportErrorOccurred)
    for event_type in model.event_types
)
"""What OneStock's documentation names. OneStock adds event types, and customers name their own."""


def nearest_event_type(event_type: str) -> str | None:
    """Return the known event type that `event_type` resembles without being one; None if it resembles none."""
    if event_type in KNOWN_EVENT_TYPES:
        return None
    return next(iter(difflib.get_close_matches(event_type, sorted(KNOWN_EVENT_TYPES), n=1, cutoff=0.75)), None)


def read_content(body: bytes) -> dict[str, Any]:
    """Return the body as a JSON object.

    Raises UnreadableContent where it is none: not JSON, not UTF-8, nested too deep, NaN, or another JSON value.
    """
    if not body:
        raise UnreadableContent("the body is empty")
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableContent(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableContent(f"the body is JSON but not an object: {type(content).__name__}")
    return content


def moment_of(date: Any) -> datetime | None:
    """Return Unix seconds as a moment in UTC; None for anything else, since OneStock's `date` may be any JSON value."""
    if isinstance(date, bool) or not isinstance(date, int | float):
        return None
    try:
        return datetime.fromtimestamp(date, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def labels_of(delivery: Delivery) -> dict[str, str]:
    """Return the labels of each log line about this delivery. Every service uses the same names."""
    labels = {"event_id": delivery.event_id, "event_type": delivery.event_type}
    if delivery.ordering_key:
        labels["order_id"] = delivery.ordering_key
    return labels


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in problems)
