"""Answers as commands print them with --json, as the console shows them, and as an assistant gets them: plain dicts.

Each answer has `searched`: where was looked, and since when. Nothing found means: nothing there.

- `events_answer`: `events`, newest first, each as `event_json` gives it, and `has_older`, whether older ones fit, too.
- `failures_answer`: what `failures_json` gives.
- `trace_answer`: `events`, oldest first, each as `relay trace --json` prints it.
- `balance_answer`: what `relay balance --json` prints.

Times are ISO 8601 in UTC.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from relay.investigation.balance import MARGIN, Balance, balance_of
from relay.investigation.entries import Entry
from relay.investigation.failures import FailureGroup, Failures, failures_of, without_event
from relay.investigation.history import History, histories
from relay.investigation.index import EventIndex
from relay.investigation.records import EventFilter, EventRecord
from relay.investigation.search import LineFilter, LogSource


def events_answer(source: LogSource, wanted: EventFilter, *, since: datetime, limit: int) -> dict[str, Any]:
    """Return the newest events that are meant, `limit` at most. Raises LogUnreadable."""
    index = EventIndex()
    lines = LineFilter.of(wanted)
    if wanted.until is not None or lines.is_of_some_lines:
        index.add(source.lines_of_events(lines, since=since, until=wanted.until))
        records = index.records(wanted)
    else:
        records = _newest(source, index, wanted, since=since, limit=limit)
    return {
        "searched": _searched(source, since, wanted.until, index),
        "events": [event_json(record) for record in records[:limit]],
        "has_older": len(records) > limit,
    }


def _newest(
    source: LogSource, index: EventIndex, wanted: EventFilter, *, since: datetime, limit: int
) -> list[EventRecord]:
    """Read back in time until there are more events than the limit, or nothing is left; return what was found."""
    for start, end in source.slices(since):
        index.add(source.lines(LineFilter.of(wanted), since=start, until=end))
        # Of an event without a webhook line, the beginning may be older than what was read.
        begun = [record for record in index.records(wanted) if record.status or record.is_synthetic]
        if len(begun) > limit and start > since:
            return begun
    return index.records(wanted)


def failures_answer(source: LogSource, *, since: datetime, until: datetime | None = None) -> dict[str, Any]:
    """Return what failed since then, grouped by handler and reason. Raises LogUnreadable."""
    index = EventIndex()
    about_none: list[Entry] = []
    lines = source.lines_of_events(LineFilter(has_failed=True), since=since, until=until)
    index.add(_split(lines, about_none))

    def is_meant(time: datetime) -> bool:
        return time >= since and (until is None or time < until)

    told = [*index.summaries(is_meant), *without_event(entry for entry in about_none if is_meant(entry.time))]
    return {"searched": _searched(source, since, until, index), **failures_json(failures_of(told))}


def trace_answer(source: LogSource, wanted: LineFilter, *, since: datetime) -> dict[str, Any]:
    """Return the whole way of each event that has a line that is meant. Raises LogUnreadable."""
    ways = ways_of(source.all_lines(wanted, since=since), wanted)
    return {"searched": _searched(source, since, None), "events": [history_json(way) for way in ways]}


def balance_answer(source: LogSource, *, since: datetime, until: datetime) -> dict[str, Any]:
    """Return the balance of a time range. Raises LogUnreadable."""
    return balance_json(source, balance_from(source, since=since, until=until))


def balance_json(source: LogSource, found: Balance) -> dict[str, Any]:
    """Return all of a Balance, and where it was read; `adds_up` is null where no line is in the range."""
    told = {"adds_up": None} if found.is_blind else {}
    return {"searched": _searched(source, found.since, found.until), **_plain(asdict(found)), **told}


def balance_from(source: LogSource, *, since: datetime, until: datetime) -> Balance:
    """Return the balance of a time range, from its lines and those of a margin around it. Raises LogUnreadable."""
    read_until = min(until + MARGIN, datetime.now(UTC))
    lines = source.lines(LineFilter(), since=since - MARGIN, until=until + MARGIN)
    return balance_of(lines, since=since, until=until, read_until=read_until)


def ways_of(entries: Iterable[Entry], wanted: LineFilter) -> list[History]:
    """Return the way of each event that the entries, which `wanted` means, are about, oldest first."""
    now = datetime.now(UTC)
    if wanted.event_id or wanted.order_id:
        return histories(entries, event_id=wanted.event_id or None, order_id=wanted.order_id or None, now=now)
    kept = [entry for entry in entries if entry.event_id]
    ids = dict.fromkeys(entry.event_id for entry in sorted(kept, key=lambda entry: entry.time))
    return [way for event_id in ids for way in histories(kept, event_id=event_id, now=now)]


def event_json(record: EventRecord) -> dict[str, Any]:
    """Return one event in short: all of EventRecord but its key, and which of its handlers failed."""
    fields = {name: _plain(value) for name, value in asdict(record).items() if name != "key"}
    return {**fields, "failed_handlers": [_plain(asdict(end)) for end in record.failed_handlers]}


def history_json(history: History) -> dict[str, Any]:
    """Return one event's way: all of History."""
    return {name: _plain(value) for name, value in asdict(history).items()}


def failures_json(failures: Failures) -> dict[str, Any]:
    """Return the groups of each part, the one with the most first: all of Failures."""
    return {
        "deliveries": failures.deliveries,
        "events": failures.events,
        "handlers": _groups_json(failures.handlers),
        "webhooks": _groups_json(failures.webhooks),
        "pushes": _groups_json(failures.pushes),
    }


def _groups_json(groups: Sequence[FailureGroup]) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in asdict(group).items()} for group in groups]


def _searched(
    source: LogSource, since: datetime, until: datetime | None, index: EventIndex | None = None
) -> dict[str, Any]:
    """Return where was looked, and how many events the bound of memory left out."""
    return {
        "source": str(source),
        "since": _plain(since),
        "until": _plain(until),
        "forgotten_events": index.extent.forgotten if index else 0,
    }


def _split(entries: Iterable[Entry], about_none: list[Entry]) -> Iterator[Entry]:
    """Yield the lines about an event; put the others, of which the index keeps few, into `about_none`."""
    for entry in entries:
        if entry.event_id:
            yield entry
        elif entry.kind:
            about_none.append(entry)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case str():
            return str(value)  # Without the type of an enumeration.
    return value
