"""Your business code: one module for each matter. `@on` marks the functions that the worker runs."""

from collections.abc import Iterable


def services() -> Iterable[object]:
    """Return the objects that handlers may ask for by type, such as a client of your shop; made once, at start."""
    return []
