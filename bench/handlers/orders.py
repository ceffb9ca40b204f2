"""One handler that only reads a field: the worker's own work is measured."""

from relay import OrderStateChanged, on


@on("order_state_changed")
def read_order(event: OrderStateChanged) -> None:
    """Read one field."""
    event.order_id.isascii()
