"""An index of log lines: the events that they are about, newest first, bounded in memory.

Safe for one thread that adds lines and any number that ask.
"""

import json
import threading
import zlib
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from relay.investigation.entries import Entry
from relay.investigation.records import EventFilter, EventRecord, Summary, record_of

MAX_BYTES = 256_000_000
MAX_LINES_WITHOUT_EVENT = 2_000
"""Anybody can send webhooks that are refused: they must not push real events out of the index."""
# What Python's objects take beside a packed line: measured for events of two lines.
_LINE_BYTES = 700
_EVENT_BYTES = 1_100

_Place = tuple[datetime, str]


@dataclass(slots=True)
class _Line:
    time: datetime
    summary: Summary
    packed: bytes


@dataclass(slots=True)
class _Event:
    labels: dict[str, str]
    trace_id: str
    lines: list[_Line] = field(default_factory=list)
    size: int = _EVENT_BYTES
    record: EventRecord | None = None

    @property
    def first_at(self) -> datetime:
        return self.lines[0].time

    @property
    def order_id(self) -> str:
        return self.labels.get("order_id", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the events that are meant, newest first."""

    records: tuple[EventRecord, ...]
    older: str
    """The key from which the next page goes on; empty on the last page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What the index holds."""

    lines: int
    events: int
    oldest: datetime | None
    """The first line of the oldest event that it holds; None if it holds none."""
    newest: datetime | None
    forgotten: int
    """How many events it has forgotten to stay within its bound."""
    forgotten_until: datetime | None
    """The events that it has forgotten began until then; None if it has forgotten none."""
    refused_forgotten: int
    """How many lines about no event, such as refused webhooks, it has forgotten."""


class EventIndex:
    """The events that log lines are about."""

    def __init__(self, *, max_bytes: int = MAX_BYTES, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`max_bytes` is of memory, estimated; beyond it, the oldest events are forgotten."""
        self._max_bytes = max_bytes
        self._now = now
        self._events: dict[str, _Event] = {}
        self._places: list[_Place] = []
        self._of_order: dict[str, set[str]] = {}
        self._without_event: dict[bytes, str] = {}
        self._size = 0
        self._lines = 0
        self._serial = 0
        self._version = 0
        self._forgotten = 0
        self._forgotten_until: datetime | None = None
        self._refused_forgotten = 0
        self._changed = threading.Condition(threading.RLock())

    def add(self, entries: Iterable[Entry]) -> None:
        """Take lines in, each once. Lines about no event count only if they are a refused webhook or push."""
        with self._changed:
            count = sum(self._take(entry) for entry in entries)
            if count:
                self._forget_the_oldest()
                self._version += 1
                self._changed.notify_all()

    @property
    def version(self) -> int:
        """A number that grows with each change."""
        return self._version

    def wait_for_change(self, version: int, *, timeout_seconds: float) -> int:
        """Return the version as soon as it is above `version`, or after the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > version, timeout_seconds)
            return self._version

    def page(self, wanted: EventFilter, *, older_than: str = "", limit: int) -> Page:
        """Return the newest events that are meant, `limit` at most, after the one with the key `older_than`."""
        found: list[EventRecord] = []
        with self._changed:
            for record in self._newest_first(wanted, older_than):
                if len(found) == limit:
                    return Page(records=tuple(found), older=found[-1].key)
                found.append(record)
        return Page(records=tuple(found), older="")

    def records(self, wanted: EventFilter) -> list[EventRecord]:
        """Return all events that are meant, newest first."""
        with self._changed:
            return list(self._newest_first(wanted, ""))

    def count_newer_than(self, key: str, wanted: EventFilter) -> int:
        """Return how many events that are meant began after the one with `key`."""
        with self._changed:
            event = self._events.get(key)
            since = event.first_at if event else None
            return sum(since is None or record.first_at > since for record in self._newest_first(wanted, "", since))

    def get(self, key: str) -> EventRecord | None:
        """Return the event with this key."""
        with self._changed:
            return self._record(key) if key in self._events else None

    def find(self, id_: str) -> EventRecord | None:
        """Return the event with the key `id_`, or the only one whose event id begins with it."""
        with self._changed:
            if id_ in self._events:
                return self._record(id_)
            keys = [key for key in self._events if key.startswith(id_)]
            return self._record(keys[0]) if len(keys) == 1 else None

    def entries(self, keys: Iterable[str]) -> list[Entry]:
        """Return the lines of these events, oldest first."""
        with self._changed:
            packed = [line for key in keys if key in self._events for line in self._events[key].lines]
        return [_unpacked(line.packed) for line in sorted(packed, key=lambda line: line.time)]

    def summaries(self, is_meant: Callable[[datetime], bool]) -> Iterator[tuple[EventRecord, Summary]]:
        """Yield each line whose time is meant, in short, with its event."""
        with self._changed:
            keys = [key for _, key in self._places]
        for key in keys:
            with self._changed:
                event = self._events.get(key)
                meant = [line.summary for line in event.lines if is_meant(line.time)] if event else []
                record = self._record(key) if meant else None
            if record is not None:
                yield from ((record, summary) for summary in meant)

    @property
    def extent(self) -> Extent:
        """What the index holds, and what it has forgotten."""
        with self._changed:
            return Extent(
                lines=self._lines,
                events=len(self._events),
                oldest=self._places[0][0] if self._places else None,
                newest=self._places[-1][0] if self._places else None,
                forgotten=self._forgotten,
                forgotten_until=self._forgotten_until,
                refused_forgotten=self._refused_forgotten,
            )

    def names(self) -> Mapping[str, list[str]]:
        """Return the event types and the handlers that the events have, for a choice."""
        with self._changed:
            records = [self._record(key) for key in self._events]
        handlers = {end.name for record in records for end in record.handlers}
        return {"event_types": sorted({record.event_type for record in records}), "handlers": sorted(handlers)}

    def _newest_first(
        self, wanted: EventFilter, older_than: str, since: datetime | None = None
    ) -> Iterator[EventRecord]:
        for key in self._candidates(wanted, older_than):
            if since is not None and self._events[key].first_at < since:
                return
            record = self._record(key)
            if wanted.fits(record):
                yield record

    def _candidates(self, wanted: EventFilter, older_than: str) -> Iterator[str]:
        """Yield the keys of the events that may be meant, newest first."""
        places = self._places
        if wanted.order_id:
            places = sorted((self._events[key].first_at, key) for key in self._of_order.get(wanted.order_id, ()))
        start = len(places)
        if older_than in self._events:
            start = bisect_left(places, (self._events[older_than].first_at, older_than))
        return (places[number][1] for number in range(start - 1, -1, -1))

    def _record(self, key: str) -> EventRecord:
        event = self._events[key]
        if event.record is None:
            event.record = record_of(key, event.labels, event.trace_id, [line.summary for line in event.lines])
        return event.record.at(self._now())

    def _take(self, entry: Entry) -> bool:
        """Keep a line, unless it says nothing of an event or was taken before."""
        key, packed = entry.event_id, _packed(entry)
        if key:
            known = self._events[key].lines if key in self._events else []
            if not {"line", "message"} & entry.fields.keys() or any(line.packed == packed for line in known):
                return False
        elif entry.kind not in ("webhook", "delivery") or packed in self._without_event:
            return False
        else:
            key = self._key_without_event(packed)
        self._insert(key, _Line(entry.time, Summary.of(entry), packed), entry)
        return True

    def _key_without_event(self, packed: bytes) -> str:
        if len(self._without_event) >= MAX_LINES_WITHOUT_EVENT:
            oldest = next(iter(self._without_event))
            self._forget(self._without_event[oldest])
            del self._without_event[oldest]
            self._refused_forgotten += 1
        self._serial += 1
        return self._without_event.setdefault(packed, f"~{self._serial}")

    def _insert(self, key: str, line: _Line, entry: Entry) -> None:
        event = self._events.get(key)
        if event is None:
            event = self._events[key] = _Event({}, entry.trace_id)
            self._size += _EVENT_BYTES
        else:
            self._places.pop(bisect_left(self._places, (event.first_at, key)))
            self._leave_order(key, event)
        event.labels |= {name: value for name, value in entry.labels.items() if name in _KEPT_LABELS}
        insort(event.lines, line, key=lambda one: one.time)
        insort(self._places, (event.first_at, key))
        self._of_order.setdefault(event.order_id, set()).add(key)
        size = _LINE_BYTES + len(line.packed)
        event.size += size
        event.record = None
        self._size += size
        self._lines += 1

    def _leave_order(self, key: str, event: _Event) -> None:
        of_order = self._of_order[event.order_id]
        of_order.discard(key)
        if not of_order:
            del self._of_order[event.order_id]

    def _forget_the_oldest(self) -> None:
        while self._size > self._max_bytes and len(self._places) > 1:
            began, key = self._places[0]
            self._forget(key)
            self._without_event = {packed: one for packed, one in self._without_event.items() if one != key}
            self._forgotten += 1
            self._forgotten_until = max(self._forgotten_until or began, began)

    def _forget(self, key: str) -> None:
        event = self._events.pop(key)
        self._places.pop(bisect_left(self._places, (event.first_at, key)))
        self._leave_order(key, event)
        self._size -= event.size
        self._lines -= len(event.lines)


_KEPT_LABELS = frozenset({"event_id", "event_type", "order_id"})


def _packed(entry: Entry) -> bytes:
    parts = [entry.time.isoformat(), entry.fields, dict(entry.labels), entry.severity, entry.trace_id]
    return zlib.compress(json.dumps(parts, ensure_ascii=True, default=str).encode(), level=1)


def _unpacked(packed: bytes) -> Entry:
    time, fields, labels, severity, trace_id = json.loads(zlib.decompress(packed))
    return Entry(time=datetime.fromisoformat(time), fields=fields, labels=labels, severity=severity, trace_id=trace_id)
