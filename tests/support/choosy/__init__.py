"""A customer's handlers that reject some orders."""

from collections.abc import Iterable

REFUSED = "refused"


def services() -> Iterable[object]:
    return []
