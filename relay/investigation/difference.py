"""The difference of two JSON values, such as the bodies of two events of one order. No I/O."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]


class _Nothing:
    """The type of `NOTHING`."""


NOTHING = _Nothing()
"""Stands on the side that does not have a value; None is JSON's null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place at which two JSON values differ."""

    path: Path
    """The names and numbers that lead to the place."""
    before: Any
    """The value there; NOTHING if there was none."""
    after: Any

    @property
    def place(self) -> str:
        """The path as people write it: `parcels[0].state`; empty for the whole value."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return "".join(parts).removeprefix(".")


def differences(before: Any, after: Any) -> Iterator[Difference]:
    """Yield the places at which two JSON values differ, in the sequence in which they stand.

    Objects are compared by name and arrays by number; two values of another kind differ as a whole. It holds a list of
    what is left to compare instead of calling itself, because a body may be nested as deeply as JSON can be read.
    """
    left: list[tuple[Path, Any, Any]] = [((), before, after)]
    while left:
        path, old, new = left.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            inner = [((*path, name), old.get(name, NOTHING), new.get(name, NOTHING)) for name in {**old, **new}]
        elif isinstance(old, list) and isinstance(new, list):
            inner = [((*path, number), *_both(old, new, number)) for number in range(max(len(old), len(new)))]
        else:
            if _is_container(old) or _is_container(new) or not _is_same(old, new):
                yield Difference(path=path, before=old, after=new)
            continue
        left.extend(reversed(inner))


def _both(old: list[Any], new: list[Any], number: int) -> tuple[Any, Any]:
    return (old[number] if number < len(old) else NOTHING), (new[number] if number < len(new) else NOTHING)


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list)


def _is_same(old: Any, new: Any) -> bool:
    """Return whether two plain values are the same in JSON, where true is not 1."""
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)


def shown(value: Any, *, limit: int) -> str:
    """Return one side of a difference as a short text; empty for NOTHING."""
    if value is NOTHING:
        return ""
    try:
        text = json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
    except RecursionError:
        return "(nested deeply)"
    return text if len(text) <= limit else f"{text[:limit]}…"
