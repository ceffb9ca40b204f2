"""The ledger: each change that OneStock knows, set against the services' log lines, and where its event is.

No I/O: changes and log entries in, a ledger out. An event tells a change if order, state and date are the same, within
the tolerance that the worker has for synthetic events (relay/onestock/changes.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from relay import moments
from relay.errors import MessageTooLarge
from relay.investigation.entries import Entry
from relay.investigation.history import EVENT_LINES, EventLine, Whereabouts, whereabouts_after
from relay.onestock.changes import EVENT_TYPE, Change

_EPOCH = datetime.fromtimestamp(0, UTC)


class Standing(StrEnum):
    """Whether a person has to do something about a change or an event."""

    HANDLED = "handled"
    DEAD_LETTER = "dead letter"
    UNDER_WAY = "under way"
    UNHANDLED = "unhandled"
    MISSING = "missing"


# Best first: a change is where the best of its events is.
_STANDINGS = {
    Whereabouts.HANDLED: Standing.HANDLED,
    Whereabouts.HANDLED_BEFORE: Standing.HANDLED,
    Whereabouts.BEING_RETRIED: Standing.UNDER_WAY,
    Whereabouts.WAITING: Standing.UNDER_WAY,
    Whereabouts.NOT_RETRIED: Standing.UNDER_WAY,
    Whereabouts.DEAD_LETTER: Standing.DEAD_LETTER,
    Whereabouts.UNHANDLED: Standing.UNHANDLED,
    Whereabouts.DROPPED: Standing.MISSING,
    Whereabouts.NOT_STORED: Standing.MISSING,
    Whereabouts.NEVER_ARRIVED: Standing.MISSING,
}
_BEST_FIRST = list(_STANDINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The time that a ledger is about: from `since` until `until`, which does not belong to it."""

    since: datetime
    until: datetime

    def includes(self, moment: datetime | None) -> bool:
        """Return whether `moment` is in the period; None never is."""
        return moment is not None and self.since <= moment < self.until

    def includes_change(self, change: Change) -> bool:
        """Return whether `change` happened in the period."""
        return self.since.timestamp() <= change.date < self.until.timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One change, or one event that tells no known change, and where it is."""

    event_type: str
    order_id: str
    change: Change | None
    event_ids: tuple[str, ...]
    """Its events: OneStock's own, and the synthetic one. Empty if none arrived."""
    is_acknowledged: bool
    """Whether the receiver has answered 202 to a webhook of it."""
    whereabouts: Whereabouts

    @property
    def standing(self) -> Standing:
        """What a person has to do about it."""
        return _STANDINGS[self.whereabouts]

    def __str__(self) -> str:
        what = f"{self.event_type} {self.event_ids[0][:12]}" if self.change is None else _text_of(self.change)
        return f"{what}: {self.whereabouts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What is known of a period, and where it is."""

    changes: tuple[Item, ...]
    """The changes that OneStock's history tells, or the receiver's lines, oldest first."""
    others: tuple[Item, ...]
    """The events that arrived and tell none of these changes: those of other event types, for example."""
    events: int
    """How many events the log lines are about, of any time: with none, they may be the lines of another project."""
    contentless: int
    """Webhooks of changed orders whose line does not say which change they tell, as with LOG_CONTENT=off."""

    def with_standing(self, standing: Standing) -> list[Item]:
        """Return the changes and events that stand so, changes first."""
        return [item for item in (*self.changes, *self.others) if item.standing is standing]

    @property
    def missing_changes(self) -> list[Change]:
        """The missing changes, oldest first."""
        return [item.change for item in self.with_standing(Standing.MISSING) if item.change is not None]


def draw_up(
    entries: Iterable[Entry],
    period: Period,
    *,
    changes: Iterable[Change] | None,
    tolerance_seconds: int,
    now: datetime,
) -> Ledger:
    """Return the ledger of `period`.

    `entries` begin before the period and reach to `now`, in any sequence. `changes` are those of OneStock's history;
    with None, the changes count that the receiver's lines of the period tell.
    """
    events = _events_in(entries)
    if changes is None:
        changes = [event.change for event in events.values() if event.change and period.includes(event.received_at)]
    taken = _taken_by_change(changes, events, tolerance_seconds)
    items = tuple(_item_of_change(change, found, now) for change, found in taken)
    known = {event_id for item in items for event_id in item.event_ids}
    others = [event for event in events.values() if event.event_id not in known and _is_in(event, period)]
    return Ledger(
        changes=items,
        others=tuple(_item_of_event(event, now) for event in others),
        events=len(events),
        contentless=sum(event.event_type == EVENT_TYPE and not event.has_content for event in others),
    )


# --- The events that the lines are about ------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Event:
    """What the lines say of one event."""

    event_id: str
    event_type: str = ""
    order_id: str = ""
    change: Change | None = None
    has_content: bool = False
    is_synthetic: bool = False
    received_at: datetime | None = None
    """When its first webhook came; None for an event that the receiver has not seen, as a synthetic one."""
    lines: list[EventLine] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        self.event_type = self.event_type or entry.labels.get("event_type", "")
        self.order_id = self.order_id or entry.labels.get("order_id", "")
        self.is_synthetic = self.is_synthetic or bool(entry.fields.get("synthetic"))
        self.lines.append(EventLine.of(entry))
        if entry.kind == "webhook":
            self.received_at = min(self.received_at or entry.time, entry.time)
            content = entry.content
            self.has_content = self.has_content or content is not None
            self.change = self.change or _change_in(self.event_type, content or {})

    @property
    def is_acknowledged(self) -> bool:
        return any(line.kind == "webhook" and line.outcome == "published" for line in self.lines)

    def whereabouts(self, now: datetime) -> Whereabouts:
        return whereabouts_after(sorted(self.lines, key=lambda line: line.time), now=now)


def _events_in(entries: Iterable[Entry]) -> dict[str, _Event]:
    events: dict[str, _Event] = {}
    for entry in entries:
        if entry.event_id and entry.kind in EVENT_LINES:
            events.setdefault(entry.event_id, _Event(event_id=entry.event_id)).add(entry)
    return events


def _change_in(event_type: str, content: Mapping[str, Any]) -> Change | None:
    change = Change.in_event(event_type, content)
    old_state = content.get("old_state")
    return replace(change, old_state=old_state) if change and isinstance(old_state, str) else change


def _is_in(event: _Event, period: Period) -> bool:
    """Return whether an event that tells no known change belongs to the period."""
    if event.received_at is None:
        return False
    return period.includes_change(event.change) if event.change else period.includes(event.received_at)


# --- Which events tell a change ---------------------------------------------------------------------------------------


def _taken_by_change(
    changes: Iterable[Change], events: Mapping[str, _Event], tolerance_seconds: int
) -> Iterator[tuple[Change, list[_Event]]]:
    """Yield each change with its events, oldest first. An event of another second tells only a change without one."""
    by_identity: dict[str, list[_Event]] = {}
    for event in events.values():
        if event.change:
            by_identity.setdefault(_identity(event.change), []).append(event)
    known = {_identity(change): change for change in changes}
    left = {identity: found for identity, found in by_identity.items() if identity not in known}
    with_synthetic = {event.order_id for event in events.values() if event.is_synthetic}
    for identity, change in sorted(known.items(), key=lambda item: (item[1].date, item[0])):
        near = [] if identity in by_identity else change.identities(tolerance_seconds=tolerance_seconds)
        found = by_identity.get(identity) or next((left.pop(other) for other in near if other in left), [])
        synthetic_ids = _synthetic_ids(change) if change.order_id in with_synthetic else ()
        yield change, [*found, *(events[event_id] for event_id in synthetic_ids if event_id in events)]


def _identity(change: Change) -> str:
    return change.identities(tolerance_seconds=0)[0]


def _synthetic_ids(change: Change) -> Iterator[str]:
    """Yield the ids that a synthetic event of the change may have: its old state is not always known."""
    for old_state in {change.old_state, None}:
        try:
            yield replace(change, old_state=old_state).to_message(now=_EPOCH, traceparent="").event_id
        except MessageTooLarge:
            continue


def _item_of_change(change: Change, events: list[_Event], now: datetime) -> Item:
    whereabouts = [event.whereabouts(now) for event in events]
    return Item(
        event_type=EVENT_TYPE,
        order_id=change.order_id,
        change=change,
        event_ids=tuple(event.event_id for event in events),
        is_acknowledged=any(event.is_acknowledged for event in events),
        whereabouts=min(whereabouts, key=_BEST_FIRST.index, default=Whereabouts.NEVER_ARRIVED),
    )


def _item_of_event(event: _Event, now: datetime) -> Item:
    return Item(
        event_type=event.event_type,
        order_id=event.order_id,
        change=event.change,
        event_ids=(event.event_id,),
        is_acknowledged=event.is_acknowledged,
        whereabouts=event.whereabouts(now),
    )


def _text_of(change: Change) -> str:
    date = datetime.fromtimestamp(change.date, UTC)
    return f"order {change.order_id} to {change.new_state} at {moments.as_option(date)}"
