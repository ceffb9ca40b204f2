"""What failed in a time range, and why: handlers, webhooks that were not stored, pushes that were refused.

Grouped by handler and reason. No I/O: log lines in, groups out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from relay.investigation.entries import Entry
from relay.investigation.handler_ends import SUCCEEDED
from relay.investigation.history import Whereabouts
from relay.investigation.records import EventRecord, Summary, record_of

MAX_EVENT_IDS = 10

Told = tuple[EventRecord, Summary]
"""A log line in short, with the event that it is about."""

_ID = "#"
# An id as a handler's reason quotes it. A number that stands alone may be an HTTP status, which tells causes apart.
_HEX_ID = re.compile(r"\b(?=[0-9a-f-]*\d)[0-9a-f]{8}[0-9a-f-]*\b", re.ASCII | re.IGNORECASE)
_STATUS = re.compile(r"[1-5]\d\d", re.ASCII)
_WORD = re.compile(r"\w+(?:[.:-]\w+)*", re.ASCII)
_NUMBER = re.compile(r"\d+(?:[.:]\d+)*", re.ASCII)
_MOST_NUMBERS = 2
"""A word with more of them is an id or a time as a whole."""
_SHORTEST_ID = 4
MAX_REASONS_KEPT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """What failed at the same place for the same reason."""

    handler: str
    """Empty where no handler failed by itself: a webhook, a push, or a delivery that no handler was reached by."""
    outcomes: tuple[str, ...]
    """How the handlers' runs, the webhooks or the pushes ended."""
    reason: str
    """What the reasons have in common: `#` stands for ids and numbers, in which they differ."""
    example: str
    """The newest reason as it stands."""
    times: int
    """How many deliveries, webhooks or pushes it is."""
    events: int
    """How many events these are about; 0 where the event is not known."""
    first_at: datetime
    last_at: datetime
    whereabouts: Mapping[Whereabouts, int]
    """Where these events are."""
    event_ids: tuple[str, ...]
    """Some of these events, those that failed last first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What failed in a time range. In each part, the group with the most comes first."""

    handlers: tuple[FailureGroup, ...]
    """Deliveries that failed. A delivery that two handlers failed is in two groups."""
    webhooks: tuple[FailureGroup, ...]
    """Webhooks that the receiver refused or could not store."""
    pushes: tuple[FailureGroup, ...]
    """Pushes that the worker refused or failed before it knew the event."""
    deliveries: int
    """How many deliveries failed."""
    events: int
    """How many events have a delivery that failed."""


def failures_of(told: Iterable[Told], *, max_event_ids: int = MAX_EVENT_IDS) -> Failures:
    """Return what failed among the lines; all others are passed over."""
    handlers, webhooks, pushes = _Groups(max_event_ids), _Groups(max_event_ids), _Groups(max_event_ids)
    deliveries = 0
    events: set[str] = set()
    for record, summary in told:
        line = summary.line
        if line.kind == "webhook" and line.outcome != "published":
            webhooks.add(record, summary, outcome=line.outcome, reason=summary.reason)
        elif line.kind == "delivery" and line.outcome not in SUCCEEDED:
            if not record.event_id:
                pushes.add(record, summary, outcome=line.outcome, reason=summary.reason)
                continue
            deliveries += 1
            events.add(record.event_id)
            _add_delivery(handlers, record, summary)
    return Failures(
        handlers=handlers.most_first(),
        webhooks=webhooks.most_first(),
        pushes=pushes.most_first(),
        deliveries=deliveries,
        events=len(events),
    )


def without_event(entries: Iterable[Entry]) -> Iterator[Told]:
    """Yield the lines of webhooks and pushes that are about no event."""
    for entry in entries:
        if not entry.event_id and entry.kind in ("webhook", "delivery"):
            labels = {"event_type": str(entry.fields.get("event_type", "")), **entry.labels}
            summary = Summary.of(entry)
            yield record_of("", labels, entry.trace_id, [summary]), summary


def _add_delivery(groups: "_Groups", record: EventRecord, summary: Summary) -> None:
    failed = [end for end in summary.line.handlers if end.has_failed]
    for end in failed:
        groups.add(record, summary, handler=end.name, outcome=end.outcome, reason=end.reason)
    if not failed:
        groups.add(record, summary, outcome=summary.line.outcome, reason=summary.reason)


# --- Groups -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Group:
    handler: str
    reason: str
    example: str
    first_at: datetime
    last_at: datetime
    times: int = 0
    outcomes: set[str] = field(default_factory=set)
    events: dict[str, tuple[datetime, Whereabouts]] = field(default_factory=dict)

    def add(self, record: EventRecord, time: datetime, *, outcome: str, reason: str) -> None:
        self.times += 1
        self.outcomes.add(outcome)
        if time >= self.last_at:
            self.last_at, self.example = time, reason
        self.first_at = min(self.first_at, time)
        if record.event_id:
            before = self.events.get(record.event_id, (time, record.whereabouts))[0]
            self.events[record.event_id] = (max(time, before), record.whereabouts)

    def finished(self, max_event_ids: int) -> FailureGroup:
        newest = sorted(self.events, key=lambda event_id: self.events[event_id][0], reverse=True)
        return FailureGroup(
            handler=self.handler,
            outcomes=tuple(sorted(self.outcomes)),
            reason=self.reason,
            example=self.example,
            times=self.times,
            events=len(self.events),
            first_at=self.first_at,
            last_at=self.last_at,
            whereabouts=dict(Counter(place for _, place in self.events.values()).most_common()),
            event_ids=tuple(newest[:max_event_ids]),
        )


class _Groups:
    def __init__(self, max_event_ids: int) -> None:
        self._max_event_ids = max_event_ids
        self._groups: dict[tuple[str, str, str], _Group] = {}

    def add(self, record: EventRecord, summary: Summary, *, outcome: str, reason: str, handler: str = "") -> None:
        # A handler's runs may end differently for one reason; elsewhere the outcome is what the reader looks for first.
        kind = "" if handler else outcome
        common = common_reason(reason, record.order_id, record.event_id)
        time = summary.line.time
        group = self._groups.setdefault(
            (handler, kind, common), _Group(handler, common, reason, first_at=time, last_at=time)
        )
        group.add(record, time, outcome=outcome, reason=reason)

    def most_first(self) -> tuple[FailureGroup, ...]:
        found = [group.finished(self._max_event_ids) for group in self._groups.values()]
        return tuple(sorted(found, key=lambda group: (group.times, group.last_at), reverse=True))


# --- Reasons ----------------------------------------------------------------------------------------------------------


def common_reason(reason: str, *ids: str) -> str:
    """Return the reason with `#` in place of the ids and numbers in it; an HTTP status stays.

    `ids` are the event's own: they are found however they are written.
    """
    for id_ in ids:
        if len(id_) >= _SHORTEST_ID and id_ in reason:
            reason = re.sub(rf"(?<!\w){re.escape(id_)}(?!\w)", _ID, reason)
    return _without_numbers(reason)


@lru_cache(MAX_REASONS_KEPT)  # Thousands of events fail for the same reason.
def _without_numbers(reason: str) -> str:
    return _WORD.sub(_common_word, _HEX_ID.sub(_ID, reason))


def _common_word(match: re.Match[str]) -> str:
    word = match[0]
    if _STATUS.fullmatch(word):
        return word
    return _NUMBER.sub(_ID, word) if len(_NUMBER.findall(word)) <= _MOST_NUMBERS else _ID
