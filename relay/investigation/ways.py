"""The way of one event through a time range, for the balance: what its lines say, and where it comes from. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from relay.investigation.counts import WITHOUT_EVENT
from relay.investigation.history import Whereabouts
from relay.investigation.records import Summary

ACKNOWLEDGED = ("handled", "duplicate", "stale", "unhandled", "quarantined")
NACKED = (
    "busy",
    "retry",
    "timed_out",
    "overloaded",
    "failed",
    "quarantine_failed",
    "store_unavailable",
    "unexpected",
    "bad_envelope",
    "unauthenticated",
)
REFUSED = {
    "refused": "wrong signature",
    "too_large": "too large",
    "overloaded": "overloaded",
    "not_published": "not published",
    "broken_off": "broken off",
    "unexpected": "unexpected",
}
KNOWN_OUTCOMES = {"webhook": {"published", *REFUSED}, "delivery": {*ACKNOWLEDGED, *NACKED}}
"""What this version of the relay writes, by the kind of the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """All lines of one event, or one line about none."""

    key: str
    whereabouts: Whereabouts
    meant: list[Summary]
    """The lines in the range."""
    was_published: bool
    """Whether a webhook of this event in the range was published."""
    was_refused: bool
    """Whether a webhook of this event in the range was not published."""
    was_delivered: bool
    """Whether this event was delivered in the range."""
    origin: str
    """Where an event that was delivered comes from."""


def way_of(key: str, where: Whereabouts, lines: Sequence[Summary], since: datetime, until: datetime) -> Way:
    """Return the way of an event from all its lines, which are in the sequence of time."""
    meant = [one for one in lines if since <= one.line.time < until and one.line.kind in KNOWN_OUTCOMES]
    is_event = not key.startswith(WITHOUT_EVENT)
    was_published = is_event and any(map(is_published, meant))
    return Way(
        key=key,
        whereabouts=where,
        meant=meant,
        was_published=was_published,
        was_refused=is_event and any(map(is_refused, meant)),
        was_delivered=is_event and any(one.line.kind == "delivery" for one in meant),
        origin="published in the range" if was_published else _origin(lines),
    )


def _origin(lines: Sequence[Summary]) -> str:
    if any(map(is_published, lines)):
        return "published outside the range"
    if any(summary.is_synthetic for summary in lines if summary.line.kind == "delivery"):
        return "synthetic"
    if any(map(is_refused, lines)):
        return "answered as not published"
    if any(summary.line.generation for summary in lines if summary.line.kind == "delivery"):
        return "redriven or replayed"
    return "without a webhook"


def is_published(summary: Summary) -> bool:
    """Return whether a line says that a webhook was published."""
    return summary.line.kind == "webhook" and summary.line.outcome == "published"


def is_refused(summary: Summary) -> bool:
    """Return whether a line says that a webhook was not published."""
    return summary.line.kind == "webhook" and summary.line.outcome != "published"


def has_unknown_outcome(summary: Summary) -> bool:
    """Return whether another version of the relay wrote the line."""
    return summary.line.outcome not in KNOWN_OUTCOMES[summary.line.kind]
