"""The relay between OneStock and your code. What a handler's author imports, and nothing else."""

from relay.events import (
    Event,
    LineItemGroupStateChanged,
    OrderStateChanged,
    ParcelStateChanged,
    StockImportErrorOccurred,
)
from relay.registry import Reject, Retry, on

__all__ = [
    "Event",
    "LineItemGroupStateChanged",
    "OrderStateChanged",
    "ParcelStateChanged",
    "Reject",
    "Retry",
    "StockImportErrorOccurred",
    "on",
]
