"""Numbers with the parts that they are the sum of, and the events behind them. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

WITHOUT_EVENT = "~"
"""How the key of a line about no event begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number, and the parts that it is the sum of."""

    name: str
    count: int
    event_ids: tuple[str, ...]
    """Some of the events that it counts; lines about no event have none."""
    parts: tuple["Count", ...] = ()

    def part(self, *names: str) -> "Count":
        """Return the part under these names. Raises KeyError if there is none."""
        found = self
        for name in names:
            found = {part.name: part for part in found.parts}[name]
        return found


class Tally:
    """Counts lines or events under names. The sums are right by its making: only the narrowest parts are counted."""

    def __init__(self, name: str, *parts: str, max_event_ids: int) -> None:
        """`parts` are there even if nothing is counted under them; of each part, `max_event_ids` events are named."""
        self._name = name
        self._max_event_ids = max_event_ids
        self._counts: dict[tuple[str, ...], int] = {(part,): 0 for part in parts}
        self._event_ids: dict[tuple[str, ...], dict[str, None]] = {}

    def add(self, key: str, *path: str) -> None:
        """Count one line or event, named by `key`, under the names of `path`, the widest first."""
        self._counts[path] = self._counts.get(path, 0) + 1
        event_ids = self._event_ids.setdefault(path, {})
        if len(event_ids) < self._max_event_ids and not key.startswith(WITHOUT_EVENT):
            event_ids[key] = None

    def closed(self) -> Count:
        """Return what was counted."""
        return self._part(self._name, ())

    def _part(self, name: str, path: tuple[str, ...]) -> Count:
        depth = len(path)
        below = {known[: depth + 1]: None for known in self._counts if known[:depth] == path and len(known) > depth}
        parts = [self._part(known[-1], known) for known in below]
        event_ids = dict(self._event_ids.get(path, {}))
        for part in parts:
            event_ids |= dict.fromkeys(part.event_ids)
        return Count(
            name=name,
            count=self._counts.get(path, 0) + sum(part.count for part in parts),
            event_ids=tuple(event_ids)[: self._max_event_ids],
            parts=tuple(parts),
        )


def named(keys: Iterable[str], most: int) -> tuple[str, ...]:
    """Return the keys of events, `most` at most."""
    return tuple(islice((key for key in keys if not key.startswith(WITHOUT_EVENT)), most))
