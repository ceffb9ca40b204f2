"""Handlers that make a delivery end in each way that it can end, by event type."""

from collections.abc import Iterable


def services() -> Iterable[object]:
    return []
