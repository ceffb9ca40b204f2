"""Models of the answers of OneStock's API. No I/O.

A model requires only the field that identifies the thing. Every other field may be missing or null, and a model keeps
unknown fields in `model_extra`. States are names from the customer's own workflows: there is no list of them.
"""

from enum import StrEnum
from typing import Any, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, model_validator


class _Answered(BaseModel):
    model_config = ConfigDict(
        extra="allow", frozen=True, coerce_numbers_to_str=True, populate_by_name=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _take_null_as_missing(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        known = {name for field, info in cls.model_fields.items() for name in (field, info.alias) if name}
        return {name: value for name, value in content.items() if value is not None or name not in known}


class IndexRange(_Answered):
    """A range of the pieces of an order item, by number; first and last belong to it."""

    first: int | None = Field(default=None, alias="from")
    last: int | None = Field(default=None, alias="to")


class OrderItem(_Answered):
    """A line of an order as the customer ordered it."""

    id: str = Field(validation_alias=AliasChoices("id", "_id"))
    item_id: str | None = None
    quantity: float | None = None


class LineItemGroup(_Answered):
    """Pieces of one order item that are in the same state, at the same place."""

    id: str = Field(validation_alias=AliasChoices("id", "_id"))
    state: str | None = None
    order_id: str | None = None
    order_item_id: str | None = None
    item_id: str | None = None
    endpoint_id: str | None = None
    """The shop or warehouse."""
    parcel_id: str | None = None
    quantity: float | None = None
    index_ranges: tuple[IndexRange, ...] = ()


class Shipment(_Answered):
    """The carrier of a parcel, and how to track it."""

    tracking_code: str | None = None
    tracking_link: str | None = None
    transporter: str | None = None


class Parcel(_Answered):
    """A box with pieces of an order."""

    id: str = Field(validation_alias=AliasChoices("id", "_id"))
    state: str | None = None
    order_id: str | None = None
    shipment: Shipment = Shipment()
    line_item_index_ranges: tuple[Any, ...] = ()


class OrderDelivery(_Answered):
    """The kind of an order's delivery, and its destination."""

    type: str | None = None
    destination: dict[str, Any] = Field(default_factory=dict)


class Order(_Answered):
    """An order. OneStock sends the fields that the call asks for; the others are empty."""

    id: str = Field(validation_alias=AliasChoices("id", "_id"))
    state: str | None = None
    types: tuple[str, ...] = ()
    date: float | None = None
    """Unix seconds."""
    last_update: float | None = None
    """Unix seconds."""
    sales_channel: str | None = None
    information: dict[str, Any] = Field(default_factory=dict)
    customer: dict[str, Any] = Field(default_factory=dict)
    delivery: OrderDelivery = OrderDelivery()
    pricing_details: dict[str, Any] = Field(default_factory=dict)
    order_items: tuple[OrderItem, ...] = ()
    line_item_groups: tuple[LineItemGroup, ...] = ()
    parcels: tuple[Parcel, ...] = ()

    def groups_in(self, *states: str) -> tuple[LineItemGroup, ...]:
        """Return the line item groups that are in one of these states."""
        return tuple(group for group in self.line_item_groups if group.state in states)

    @property
    def parcels_with_tracking(self) -> tuple[Parcel, ...]:
        """The parcels that have a tracking code or a tracking link."""
        return tuple(
            parcel for parcel in self.parcels if parcel.shipment.tracking_code or parcel.shipment.tracking_link
        )


class StateChange(_Answered):
    """An entry of an order's history. No field is certain."""

    date: float | None = None
    """Unix seconds."""
    order_id: str | None = None
    old_state: str | None = None
    new_state: str | None = None


class WebhookStatus(StrEnum):
    """What OneStock does with a webhook's messages ("Webhook configuration")."""

    ENABLED = "enabled"
    PAUSED = "paused"
    """OneStock stores messages: somebody paused the webhook, or OneStock did while it repeats a message."""
    DISABLED = "disabled"
    """OneStock drops messages, until a person or the watchdog enables the webhook again."""


class RegisteredWebhook(_Answered):
    """A webhook that is registered at OneStock: where OneStock sends the messages of some event types."""

    id: str = Field(validation_alias=AliasChoices("id", "_id"))
    url: str = ""
    status: str = ""
    """One of `WebhookStatus`, or a status that OneStock adds later."""
    event_types: tuple[str, ...] = Field(default=(), alias="topics")
    http_method: str | None = None
    hash_key: SecretStr | None = None
    """It is open whether OneStock's answers hold the key."""

    @property
    def is_disabled(self) -> bool:
        """Whether OneStock drops this webhook's messages."""
        return self.status == WebhookStatus.DISABLED

    def as_json(self) -> dict[str, Any]:
        """Return the fields that may be shown. OneStock's answer may hold the hash key, which may not."""
        return {
            "id": self.id,
            "status": self.status,
            "event_types": list(self.event_types),
            "url": self.url,
            "http_method": self.http_method,
        }

    def with_status(self, status: str) -> Self:
        """Return this webhook with another status; changes nothing at OneStock."""
        return self.model_copy(update={"status": status})
