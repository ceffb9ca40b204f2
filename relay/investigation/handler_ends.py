"""How the handlers of a delivery ended, from its log line. No I/O."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relay.investigation.entries import Entry, number_of

SUCCEEDED = frozenset({"handled", "duplicate", "stale", "unhandled"})
"""Outcomes of a delivery, or of one handler's part of it, after which nothing is left to do."""
ALREADY_REJECTED = "already rejected"  # The whole reason where it was this event; else the other event follows.
READING = "(content)"  # What the worker's lines say instead of a handler's name where no handler can read the event.
_QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerEnd:
    """How one handler's part of one delivery ended."""

    name: str
    outcome: str
    reason: str
    latency_ms: float
    ended_at: datetime
    """When the worker logged the delivery."""
    redrives: int
    """How often the delivered message had been redriven: two messages of one event are counted apart."""

    @property
    def has_failed(self) -> bool:
        """Whether the event still needs this handler, or never gets it."""
        return self.outcome not in SUCCEEDED

    @property
    def is_rejection(self) -> bool:
        """Whether the handler rejected the event now or before: its dead letter waits, or that of the same change."""
        return self.outcome == _QUARANTINED or (
            self.outcome == "duplicate" and self.reason.startswith(ALREADY_REJECTED)
        )

    @property
    def is_repeated_rejection(self) -> bool:
        """Whether the event was a dead letter of this handler already: an earlier line says why."""
        return self.outcome == "duplicate" and self.reason == ALREADY_REJECTED


def handler_ends(entry: Entry) -> tuple[HandlerEnd, ...]:
    """Return how each handler of a delivery ended."""
    return tuple(
        HandlerEnd(
            name=str(run.get("name", "")),
            outcome=str(run.get("outcome", "")),
            reason=str(run.get("reason", "")),
            latency_ms=milliseconds_in(run),
            ended_at=entry.time,
            redrives=entry.number("redrives"),
        )
        for run in entry.runs
    )


class LastEnds:
    """How each handler's last run of one event ended, delivery by delivery in the sequence of time."""

    def __init__(self) -> None:
        self._ends: dict[str, HandlerEnd] = {}
        self._generations: dict[str, int] = {}
        self._rejections: dict[str, HandlerEnd] = {}

    def add(self, ends: Iterable[HandlerEnd], *, generation: int) -> None:
        """Take one delivery in; `generation` tells a redrive or a replay from what came before it."""
        for end in ends:
            if end.name != READING:
                self._ends.pop(READING, None)  # Handlers run only if the content can be read.
            if not self._is_done(end.name, generation):
                self._take(end, generation)

    def _is_done(self, name: str, generation: int) -> bool:
        """Return whether the handler needs no delivery of this generation any more.

        Pub/Sub may deliver an event twice at the same time: then `busy` can be logged after `handled`.
        """
        known = self._ends.get(name)
        is_done = known is not None and not known.has_failed and not known.is_rejection
        return is_done and generation <= self._generations[name]

    def _take(self, end: HandlerEnd, generation: int) -> None:
        if end.outcome == _QUARANTINED:
            self._rejections[end.name] = end
        if end.is_repeated_rejection:
            end = self._rejections.get(end.name, end)  # It says why.
        self._ends[end.name] = end
        self._generations[end.name] = generation

    @property
    def all(self) -> tuple[HandlerEnd, ...]:
        """The handlers' last ends, in the sequence in which the handlers ran first."""
        return tuple(self._ends.values())

    @property
    def has_rejection(self) -> bool:
        """Whether the last end of a handler is a rejection."""
        return any(end.is_rejection for end in self._ends.values())

    def has_failure_of(self, names: Collection[str]) -> bool:
        """Return whether the last run of one of these handlers did not succeed; of any handler if none is named."""
        return any(end.has_failed for name in names or self._ends if (end := self._ends.get(name)))


def milliseconds_in(fields: Mapping[str, Any]) -> float:
    """Return how long what `fields` tell of took; 0 where they do not say."""
    return number_of(fields.get("latency_ms"))
