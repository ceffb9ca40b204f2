"""One event as a row of a list: what its log lines say of it in short, and which rows are meant. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from relay.events import is_handler
from relay.investigation.entries import Entry
from relay.investigation.handler_ends import HandlerEnd, LastEnds, milliseconds_in
from relay.investigation.history import EVENT_LINES, EventLine, Whereabouts, after_silence, whereabouts_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one log line adds to its event's row."""

    line: EventLine
    reason: str = ""
    status: int = 0
    latency_ms: float = 0.0
    old_state: str = ""
    new_state: str = ""
    is_synthetic: bool = False

    @classmethod
    def of(cls, entry: Entry) -> "Summary":
        """Return what `entry` says in short."""
        fields = entry.fields
        content = (entry.content or {}) if entry.kind == "webhook" else {}
        return cls(
            line=EventLine.of(entry),
            reason=str(fields.get("reason", "")),
            status=entry.number("status"),
            latency_ms=milliseconds_in(fields),
            old_state=_text(content.get("old_state")),
            new_state=_text(content.get("new_state")),
            is_synthetic=bool(fields.get("synthetic")),
        )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event, in short. A webhook that was refused has no event id: then `key` names its line."""

    key: str
    """What names it in this index: the event id, or `~` and a number for a line without one."""
    event_id: str
    event_type: str
    order_id: str
    trace_id: str
    first_at: datetime
    last_at: datetime
    given_up_at: datetime | None
    """When Pub/Sub gave it up last; None if no line tells of that."""
    silent_since: datetime
    """Its last line of the receiver, the worker or Pub/Sub's giving up; what a handler logs is none."""
    old_state: str
    new_state: str
    whereabouts: Whereabouts
    attempts: int
    """How often Pub/Sub has delivered it."""
    acknowledged_ms: float
    """How long OneStock waited for the last answer, in milliseconds; 0 for a synthetic event."""
    status: int
    """The last answer to OneStock; 0 where no line tells one."""
    reason: str
    """Why the receiver refused it; empty if it did not."""
    handlers: tuple[HandlerEnd, ...]
    """Each handler that has run, with its last end."""
    is_synthetic: bool
    generation: int
    """The highest one of its deliveries; 0 if it was neither redriven nor replayed."""

    @property
    def failed_handlers(self) -> tuple[HandlerEnd, ...]:
        """The handlers whose last run did not succeed."""
        return tuple(end for end in self.handlers if end.has_failed)

    def at(self, now: datetime) -> "EventRecord":
        """Return the row as it is to be read `now`: an event may have been silent for too long."""
        place = after_silence(self.whereabouts, now - self.silent_since)
        return self if place is self.whereabouts else replace(self, whereabouts=place)

    @property
    def seconds_to_end(self) -> float:
        """How long it took from its first line to its last one."""
        return (self.last_at - self.first_at).total_seconds()


def record_of(key: str, labels: Mapping[str, str], trace_id: str, summaries: Sequence[Summary]) -> EventRecord:
    """Return the row of an event from its lines, which are in the sequence of time."""
    webhooks = [summary for summary in summaries if summary.line.kind == "webhook"]
    told = next((summary for summary in webhooks if summary.new_state), None)
    ends = LastEnds()
    for summary in summaries:
        ends.add(summary.line.handlers, generation=summary.line.generation)
    last_webhook = webhooks[-1] if webhooks else None
    return EventRecord(
        key=key,
        event_id=labels.get("event_id", ""),
        event_type=labels.get("event_type", ""),
        order_id=labels.get("order_id", ""),
        trace_id=trace_id,
        first_at=summaries[0].line.time,
        last_at=summaries[-1].line.time,
        given_up_at=max((one.line.time for one in summaries if one.line.is_giving_up), default=None),
        silent_since=max(
            (one.line.time for one in summaries if one.line.kind in EVENT_LINES), default=summaries[0].line.time
        ),
        old_state=told.old_state if told else "",
        new_state=told.new_state if told else "",
        whereabouts=whereabouts_after(summary.line for summary in summaries),
        attempts=sum(summary.line.kind == "delivery" for summary in summaries),
        acknowledged_ms=last_webhook.latency_ms if last_webhook else 0.0,
        status=last_webhook.status if last_webhook else 0,
        reason=last_webhook.reason if last_webhook else "",
        handlers=ends.all,
        is_synthetic=any(summary.is_synthetic for summary in summaries),
        generation=max(summary.line.generation for summary in summaries),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are meant: those that fit everything that is set."""

    order_id: str = ""
    event_id: str = ""
    """An event id, or its beginning."""
    trace_id: str = ""
    event_type: str = ""
    whereabouts: Whereabouts | None = None
    handler: str = ""
    """A handler that has run, or an ending of its name; events that it failed come with `reason`, too."""
    reason: str = ""
    """A part of a failed handler's reason, or of why the receiver refused it, in any case."""
    since: datetime | None = None
    until: datetime | None = None
    """An event is in the range if its first line is; `until` does not belong to it."""

    def fits(self, record: EventRecord) -> bool:
        """Return whether `record` is meant."""
        return (
            self.order_id in ("", record.order_id)
            and self.trace_id in ("", record.trace_id)
            and self.event_type in ("", record.event_type)
            and self.whereabouts in (None, record.whereabouts)
            and record.event_id.startswith(self.event_id)
            and (self.since is None or record.first_at >= self.since)
            and (self.until is None or record.first_at < self.until)
            and (not self.handler or any(is_handler(end.name, self.handler) for end in record.handlers))
            and (not self.reason or self._has_reason(record))
        )

    def _has_reason(self, record: EventRecord) -> bool:
        wanted = self.reason.lower()
        ends = [end for end in record.handlers if is_handler(end.name, self.handler)]
        return any(wanted in reason.lower() for reason in (record.reason, *(end.reason for end in ends)))
