"""How many webhooks came in each part of a time range, and which event types OneStock waits for. No I/O."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from relay.investigation.records import EventRecord, Summary

MAX_PARTS = 120
MINUTE = timedelta(minutes=1)

TypedWebhook = tuple[str, Summary]
"""The line of one webhook, with its event type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The webhooks of one part of a time range."""

    began_at: datetime
    published: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The parts of a time range, each as long as `length`: whole minutes."""

    length: timedelta
    parts: tuple[Rate, ...]


def webhooks_among(lines: Iterable[tuple[EventRecord, Summary]]) -> list[TypedWebhook]:
    """Return the webhooks among an index's lines, oldest first."""
    found = [(record.event_type, summary) for record, summary in lines if summary.line.kind == "webhook"]
    return sorted(found, key=lambda typed: typed[1].line.time)


def rates_of(webhooks: Iterable[TypedWebhook], *, since: datetime, until: datetime) -> Rates:
    """Return the webhooks of each minute from `since` to `until`; of longer parts where that were too many."""
    length = MINUTE * max(1, ceil((until - since) / MINUTE / MAX_PARTS))
    count = max(1, ceil((until - since) / length))
    published, refused = [0] * count, [0] * count
    for _, summary in webhooks:
        if since <= summary.line.time < until:
            of_outcome = published if summary.line.outcome == "published" else refused
            of_outcome[int((summary.line.time - since) / length)] += 1
    parts = (
        Rate(began_at=since + length * number, published=published[number], refused=refused[number])
        for number in range(count)
    )
    return Rates(length=length, parts=tuple(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unacknowledged:
    """The webhooks of some event types since the last one that was answered 202."""

    since: datetime
    """When the first of them came."""
    count: int
    reason: str
    """Why the last of them was refused."""


def unacknowledged_of(webhooks: Sequence[TypedWebhook], event_types: Collection[str]) -> Unacknowledged | None:
    """Return the webhooks that OneStock sends again; None if the last one was acknowledged, or none is known.

    OneStock sends the messages of a webhook in sequence: an acknowledged one ends the count of failed attempts.
    """
    failed: list[Summary] = []
    for event_type, summary in reversed(webhooks):
        if event_type in event_types:
            if summary.line.outcome == "published":
                break
            failed.append(summary)
    if not failed:
        return None
    last = failed[0]
    return Unacknowledged(since=failed[-1].line.time, count=len(failed), reason=last.reason or last.line.outcome)
