"""What OneStock's API answers with. No I/O.

Only what identifies a thing is required; every other field may be missing or null, and unknown ones are kept in
`model_extra`. States are names from the customer's own workflows: there is no list of them.
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
    """Which of an order item's pieces are meant, first and last included."""

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
    """How a parcel travels."""

    tracking_code: str | None = None
    tracking_link: str | None = None
    transporter: str | None = None


class Parcel(_Answered):
    """What is sent in one box."""

    id: str = Field(validation_alias=AliasChoices("id", "_id"))
    state: str | None = None
    order_id: str | None = None
    shipment: Shipment = Shipment()
    line_item_index_ranges: tuple[Any, ...] = ()


class Delivery(_Answered):
    """Where an order goes, and how."""

    type: str | None = None
    destination: dict[str, Any] = Field(default_factory=dict)


class Order(_Answered):
    """An order. A field that was not asked for is empty."""

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
    delivery: Delivery = Delivery()
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
    """Messages are stored: paused by hand, or while one is being retried."""
    DISABLED = "disabled"
    """Messages are lost. Only a person, or the watchdog, enables it again."""


class Webhook(_Answered):
    """A webhook as OneStock has it."""

    id: str = Field(validation_alias=AliasChoices("id", "_id"))
    url: str = ""
    status: str = ""
    """One of `WebhookStatus`, or what OneStock adds."""
    event_types: tuple[str, ...] = Field(default=(), alias="topics")
    http_method: str | None = None
    hash_key: SecretStr | None = None
    """Whether OneStock's answer shows it is open."""

    @property
    def is_disabled(self) -> bool:
        """Whether this webhook's messages are being lost."""
        return self.status == WebhookStatus.DISABLED

    def with_status(self, status: str) -> Self:
        """Return this webhook with another status; changes nothing at OneStock."""
        return self.model_copy(update={"status": status})
