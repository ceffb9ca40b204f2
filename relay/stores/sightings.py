"""When each webhook was last seen enabled: how the watchdog knows since when events may be missing."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is known of one webhook. Times are in Unix seconds."""

    enabled_at: float | None = None
    """When it was last seen enabled; None if never."""
    is_down: bool = False
    """Whether it was seen disabled, and not enabled since."""


class Sightings(Protocol):
    """Remembers one sighting for each webhook. Both methods raise StoreError when they cannot."""

    def get(self, webhook_id: str) -> Sighting:
        """Return what is known; an empty sighting of a webhook that was never seen."""
        ...

    def put(self, webhook_id: str, sighting: Sighting) -> None:
        """Remember this instead."""
        ...


class MemorySightings:
    """For one process: what it knows ends with it."""

    def __init__(self) -> None:
        self._sightings: dict[str, Sighting] = {}

    def get(self, webhook_id: str) -> Sighting:
        """See `Sightings.get`."""
        return self._sightings.get(webhook_id, Sighting())

    def put(self, webhook_id: str, sighting: Sighting) -> None:
        """See `Sightings.put`."""
        self._sightings[webhook_id] = sighting
