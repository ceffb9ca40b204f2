"""Handlers for the worker under measurement: as many as BENCH_HANDLERS says, for one event type."""

from collections.abc import Iterable


def services() -> Iterable[object]:
    """Offer nothing."""
    return []
