"""Tables as wide as the terminal: what does not fit goes on in the next line of its cell."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from relay.local.display import width_of

_GAP = 2  # Between columns; tabulate makes each column so much wider than its name, too.
_LEAST = 8
"""Characters; a column is not made narrower."""


def table(rows: Sequence[Mapping[str, Any]], *, width: int | None = None) -> str:
    """Return the rows under their names. `width` is the terminal's by default; a file gets each row in one line."""
    # Imported here, so that --help does not wait for it.
    from tabulate import tabulate

    width = width if width is not None else width_of(sys.stdout)
    widest = [max(len(name) + _GAP, *(_length(row[name]) for row in rows)) for name in rows[0]] if rows else []
    return tabulate(
        rows,
        headers="keys",
        tablefmt="simple",
        disable_numparse=True,
        maxcolwidths=_fitted(widest, width) if width is not None else None,
    )


def _length(cell: Any) -> int:
    return max((len(line) for line in str(cell).splitlines()), default=0)


def _fitted(widest: list[int], width: int) -> list[int]:
    """Take characters from the widest column until all fit, or none can be narrower."""
    fitted = list(widest)
    while sum(fitted) + _GAP * (len(fitted) - 1) > width and max(fitted) > _LEAST:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted
