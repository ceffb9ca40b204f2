"""Tables and lists as wide as the terminal: what does not fit goes on in the next line."""

import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from relay.local.display import width_of

_INDENT = 10  # Below the cells, after the time.
NO_LIMIT = 100_000  # Characters of a line.
_GAP = 2  # Between columns.
_LEAST = 6
"""Characters; a column is not made narrower, nor narrower than its name."""


def table(rows: Sequence[Mapping[str, Any]], *, width: int | None = None) -> str:
    """Return the rows under their names. `width` is the terminal's by default; a file gets each row in one line."""
    # Imported here, so that --help does not wait for it.
    import tabulate

    # tabulate makes each column two characters wider than its name, beside the gap, and has no argument against that.
    tabulate.MIN_PADDING = 0
    width = width if width is not None else width_of(sys.stdout)
    names = [len(name) for name in rows[0]] if rows else []
    widest = [
        max(least, *(_length(row[name]) for row in rows))
        for least, name in zip(names, rows[0] if rows else (), strict=True)
    ]
    return tabulate.tabulate(
        rows,
        headers="keys",
        tablefmt="simple",
        disable_numparse=True,
        maxcolwidths=_fitted(widest, names, width) if width is not None else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What a list says at one time: cells, none of which is broken if a line can hold it, and a reason below them."""

    time: datetime
    cells: Sequence[str]
    why: str = ""


def as_list(items: Sequence[Item], *, width: int) -> str:
    """Return each item as its time, its cells side by side as far as they fit, and why; a date where it changes."""
    widths = [max(map(len, column)) for column in zip(*(item.cells for item in items), strict=True)]
    lines: list[str] = []
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    for item in items:
        time = item.time.astimezone(UTC)
        if f"{time:%Y-%m-%d}" != date:
            date = f"{time:%Y-%m-%d}"
            lines.append(date)
        lines += _side_by_side(f"{time:%H:%M:%S}", item.cells, widths, width)
        if item.why:
            lines += wrapped(f"why: {item.why}", width=width, indent=_INDENT, first=_INDENT).splitlines()
    return "\n".join(lines)


def as_rows(rows: Sequence[Mapping[str, str]], *, below: str, width: int) -> str:
    """Return the rows under their names; the cell `below` has lines of its own, and no other one is broken."""
    names = [name for name in rows[0] if name != below]
    named = [dict(zip(names, names, strict=True)), *rows]
    cells = [[row[name] for name in names] for row in named]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines: list[str] = []
    for row, (head, *further) in zip(named, cells, strict=True):
        lines += _side_by_side(f"{head:<{_INDENT - _GAP}}", further, widths[1:], width)
        if row.get(below):
            lines += wrapped(f"why: {row[below]}", width=width, indent=_INDENT, first=_INDENT).splitlines()
    return "\n".join(lines)


def _side_by_side(head: str, cells: Sequence[str], widths: Sequence[int], width: int) -> list[str]:
    """Return the cells in lines; the cells of a column begin at one place in all items."""
    lines, end = [head], len(head)
    for cell, wide in zip(cells, widths, strict=True):
        if end + _GAP + wide > width and end > _INDENT:
            lines.append("")
            end = _INDENT - _GAP
        lines[-1] = f"{lines[-1]:<{end}}{'':<{_GAP}}{cell}"
        end += _GAP + wide
    # textwrap keeps the spaces between cells, and breaks a cell that is wider than a line between its words.
    return [
        part
        for line in lines
        if line.strip()
        for part in wrapped(line.rstrip(), width=width, indent=_INDENT).splitlines()
    ]


def wrapped(text: str, *, width: int | None, indent: int = 0, first: int = 0) -> str:
    """Return the text broken between words where `width` ends, all lines after the first indented."""
    if width is None:
        return f"{'':<{first}}{text}"
    return textwrap.fill(
        text,
        max(width, indent + _LEAST),
        initial_indent=" " * first,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words="://" not in text,  # A URL is there to be copied.
    )


def say(text: str, *, err: bool = False, indent: int = 0) -> None:
    """Print the text as wide as the terminal, all lines after the first indented."""
    click.echo(wrapped(text, width=width_of(sys.stderr if err else sys.stdout), indent=indent), err=err)


def counted(count: int, noun: str) -> str:
    """Return how many there are: `1 event`, `1,200 events`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def fits(rows: Sequence[Mapping[str, Any]], *, width: int | None) -> bool:
    """Return whether a table of the rows has each row in one line."""
    return width is None or max(map(len, table(rows, width=NO_LIMIT).splitlines()), default=0) <= width


def _length(cell: Any) -> int:
    return max((len(line) for line in str(cell).splitlines()), default=0)


def _fitted(widest: list[int], names: list[int], width: int) -> list[int]:
    """Take characters from the widest column until all fit, or none can be narrower."""
    fitted = list(widest)
    while sum(fitted) + _GAP * (len(fitted) - 1) > width:
        wide = [number for number, least in enumerate(names) if fitted[number] > max(least, _LEAST)]
        if not wide:
            break
        fitted[max(wide, key=fitted.__getitem__)] -= 1
    return fitted
