"""Calls back to OneStock: log in, fetch orders and parcels, manage webhooks.

A handler with a parameter of the type `OneStock` gets the worker's client:

    @on("order_state_changed")
    def sync_order(event: OrderStateChanged, onestock: OneStock) -> None:
        order = onestock.get_order(event.order_id)
"""

from relay.onestock.client import OneStock
from relay.onestock.models import (
    LineItemGroup,
    Order,
    OrderItem,
    Parcel,
    RegisteredWebhook,
    StateChange,
    WebhookStatus,
)

__all__ = [
    "LineItemGroup",
    "OneStock",
    "Order",
    "OrderItem",
    "Parcel",
    "RegisteredWebhook",
    "StateChange",
    "WebhookStatus",
]
