"""What happened to an event, from the services' log lines. No I/O: log entries in, steps and the event's place out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from relay.investigation.entries import Entry
from relay.investigation.handler_ends import SUCCEEDED, HandlerEnd, LastEnds, handler_ends, milliseconds_in
from relay.topology import (
    LONGEST_RETRY_PAUSE_SECONDS,
    MAX_DELIVERY_ATTEMPTS,
    SUBSCRIPTION_RETENTION_SECONDS,
)

EVENT_LINES = frozenset({"webhook", "delivery", "given_up"})
"""The kinds of log lines that move an event. Only the local run writes `given_up`: Pub/Sub logs no dead letter."""
_LOG_DELAY = timedelta(minutes=5)
"""How late a line may reach Cloud Logging."""


class Whereabouts(StrEnum):
    """Where an event is, as far as the log lines tell."""

    HANDLED = "handled"
    HANDLED_BEFORE = "handled before"
    """Every handler had succeeded already: in a run that ended late, or for another event of the same change."""
    BEING_RETRIED = "being retried"
    NOT_RETRIED = "failed, and not retried since"
    """Pub/Sub has given it up, or pushes nothing to the worker: the log lines do not say which."""
    WAITING = "published, not delivered yet"
    DEAD_LETTER = "dead letter"
    UNHANDLED = "no handler for its type"
    DROPPED = f"dropped by Pub/Sub: not acknowledged within {SUBSCRIPTION_RETENTION_SECONDS // 86_400} days"
    NOT_STORED = "not stored: refused or failed; OneStock repeats a failed one for half an hour"
    NEVER_ARRIVED = "never arrived"

    @classmethod
    def named(cls, text: str) -> "Whereabouts | None":
        """Return the place that a person means, by its name or its value; None for none."""
        return next((one for one in cls if text.lower().replace("-", "_") == one.name.lower() or text == one), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened to an event."""

    time: datetime
    name: str
    """received, delivered, caught up (a synthetic event), redriven, run again (a replay, too), given up, or log."""
    text: str
    outcome: str = ""
    """How the webhook or the delivery ended; of a log line, its severity."""
    status: int = 0
    """The answer: to OneStock, or to Pub/Sub. 0 for any other line."""
    latency_ms: float = 0.0
    """How long the webhook or the delivery took."""
    message_id: str = ""
    attempt: int = 0
    """Which delivery attempt of Pub/Sub this was; 0 where the line does not say."""
    reason: str = ""
    """Why a webhook was refused, or why a delivery failed before any handler ran."""
    handlers: tuple[HandlerEnd, ...] = ()

    @property
    def has_failed(self) -> bool:
        """Whether something was left to do after this delivery."""
        return self.outcome not in SUCCEEDED


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One event's way."""

    event_id: str
    event_type: str
    order_id: str
    steps: tuple[Step, ...]
    whereabouts: Whereabouts
    caveat: str
    """What the log lines cannot know about where it is; empty where they tell it for certain."""


def histories(
    entries: Iterable[Entry], *, event_id: str | None = None, order_id: str | None = None, now: datetime | None = None
) -> list[History]:
    """Return the way of each event whose id begins with `event_id`, or that belongs to `order_id`, oldest first.

    `now` is when the lines were read; without it, no event has been silent for long.
    """
    of_event: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.time):
        name = entry.event_id
        is_meant = name.startswith(event_id) if event_id else entry.labels.get("order_id") == order_id
        if name and is_meant and ("line" in entry.fields or "message" in entry.fields):
            of_event.setdefault(name, []).append(entry)
    return [history_of(found, now=now) for found in of_event.values()]


def history_of(entries: Sequence[Entry], *, now: datetime | None = None) -> History:
    """Return the way of one event from its lines, which are in the sequence of time.

    A webhook that was refused has no event id: then it is the way of its one line.
    """
    lines = [EventLine.of(entry) for entry in entries]
    whereabouts = whereabouts_after(lines, now=now)
    labels = {key: value for entry in entries for key, value in entry.labels.items()}
    return History(
        event_id=labels.get("event_id", ""),
        event_type=labels.get("event_type", ""),
        order_id=labels.get("order_id", ""),
        steps=tuple(_step(entry, entries) for entry in entries),
        whereabouts=whereabouts,
        caveat=_caveat(whereabouts, lines),
    )


def _step(entry: Entry, entries: Sequence[Entry]) -> Step:
    fields = entry.fields
    match entry.kind:
        case "webhook":
            return _answered_step(entry, "received", _webhook_text(fields))
        case "delivery":
            return _answered_step(entry, _name_of_delivery(entry, entries), _delivery_text(entry))
        case "given_up":
            return Step(time=entry.time, name="given up", text=str(fields.get("message", "")))
        case _:
            text = f"{entry.severity}: {fields.get('message', '')}"
            return Step(time=entry.time, name="log", text=text, outcome=entry.severity)


def _name_of_delivery(entry: Entry, entries: Sequence[Entry]) -> str:
    generation = entry.number("generation")
    if generation:
        # A replay and `relay rerun` make a new generation, too, and leave the number of redrives as it was.
        before = (one.number("redrives") for one in entries if one.number("generation") < generation)
        is_redriven = "redrives" not in entry.fields or entry.number("redrives") > max(before, default=0)
        return "redriven" if is_redriven else "run again"
    return "caught up" if entry.fields.get("synthetic") else "delivered"


def _answered_step(entry: Entry, name: str, text: str) -> Step:
    fields = entry.fields
    return Step(
        time=entry.time,
        name=name,
        text=text,
        outcome=str(fields.get("outcome", "")),
        status=entry.number("status"),
        latency_ms=milliseconds_in(fields),
        message_id=str(fields.get("message_id") or ""),
        attempt=entry.number("delivery_attempt"),
        reason=str(fields.get("reason", "")),
        handlers=handler_ends(entry),
    )


def _webhook_text(fields: Mapping[str, Any]) -> str:
    answered = f"answered {fields.get('status')} in {fields.get('latency_ms')} ms"
    if fields.get("outcome") == "published":
        return f"published as message {fields.get('message_id')}; {answered}"
    return f"{fields.get('outcome')}: {fields.get('reason', '')}; {answered}"


def _delivery_text(entry: Entry) -> str:
    fields = entry.fields
    attempt = f", attempt {fields['delivery_attempt']}" if fields.get("delivery_attempt") else ""
    runs = [f"{end.name} {end.outcome}" + (f" ({end.reason})" if end.reason else "") for end in handler_ends(entry)]
    head = f"message {fields.get('message_id')}{attempt}: {fields.get('outcome')}, answered {fields.get('status')}"
    return "; ".join([head, *runs])


# --- Where an event is ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventLine:
    """What one log line says about where its event is."""

    time: datetime
    kind: str
    """One of EVENT_LINES; other lines change nothing."""
    outcome: str
    generation: int
    """0 for the event as the receiver published it; a redrive or a replay has a higher one."""
    attempt: int
    """Which delivery attempt of Pub/Sub this was; 0 where the line does not say."""
    handlers: tuple[HandlerEnd, ...]
    """How each handler of a delivery ended."""

    @property
    def is_giving_up(self) -> bool:
        """Whether Pub/Sub gives the event up with it: it says so, or the last delivery attempt failed."""
        is_failure = self.kind == "delivery" and self.outcome not in {*_ENDS, "duplicate"}
        return self.kind == "given_up" or (is_failure and self.attempt >= MAX_DELIVERY_ATTEMPTS)

    @classmethod
    def of(cls, entry: Entry) -> "EventLine":
        """Return what `entry` says."""
        return cls(
            time=entry.time,
            kind=entry.kind,
            outcome=str(entry.fields.get("outcome", "")),
            generation=entry.number("generation"),
            attempt=entry.number("delivery_attempt"),
            handlers=handler_ends(entry) if entry.kind == "delivery" else (),
        )


# An event that one of these deliveries has ended stays where it is until a redrive or a replay.
_ENDS = {
    "handled": Whereabouts.HANDLED,
    "stale": Whereabouts.HANDLED,
    "quarantined": Whereabouts.DEAD_LETTER,
    "unhandled": Whereabouts.UNHANDLED,
}
_NOT_ENDED = (
    Whereabouts.NOT_STORED,
    Whereabouts.WAITING,
    Whereabouts.BEING_RETRIED,
    Whereabouts.HANDLED_BEFORE,
)
_SUCCESSFUL = (Whereabouts.HANDLED, Whereabouts.HANDLED_BEFORE, Whereabouts.UNHANDLED)
_UNDER_WAY = (Whereabouts.WAITING, Whereabouts.BEING_RETRIED)


def whereabouts_after(lines: Iterable[EventLine], *, now: datetime | None = None) -> Whereabouts:
    """Return where one event is after its lines, which are in the sequence of time.

    `now` is when the lines were read; without it, the event has not been silent for long.
    """
    place = Whereabouts.NOT_STORED
    generation = 0
    last_at = None
    ends = LastEnds()
    for line in (line for line in lines if line.kind in EVENT_LINES):
        last_at = line.time
        if line.kind == "webhook":
            is_stored = line.outcome == "published" and place is Whereabouts.NOT_STORED
            place = Whereabouts.WAITING if is_stored else place
            continue
        if line.generation > generation or place in _NOT_ENDED or _is_awaited(line, place, ends):
            place = _after_delivery(line, place)
            generation = max(generation, line.generation)
        ends.add(line.handlers, generation=line.generation)
    if place in _SUCCESSFUL and ends.has_rejection:
        place = Whereabouts.DEAD_LETTER
    return place if now is None or last_at is None else after_silence(place, now - last_at)


def _is_awaited(line: EventLine, place: Whereabouts, ends: LastEnds) -> bool:
    """Return whether a handler still needs this delivery, though the event has ended for the others.

    An event has a dead letter for each handler that rejected it; those that are redriven in the same second have the
    same generation.
    """
    return place in _SUCCESSFUL and ends.has_failure_of([end.name for end in line.handlers])


def after_silence(place: Whereabouts, silence: timedelta) -> Whereabouts:
    """Return where an event is that no line has been about for so long."""
    if place in _UNDER_WAY and silence > timedelta(seconds=SUBSCRIPTION_RETENTION_SECONDS):
        return Whereabouts.DROPPED
    if place is Whereabouts.BEING_RETRIED and silence > timedelta(seconds=LONGEST_RETRY_PAUSE_SECONDS) + _LOG_DELAY:
        return Whereabouts.NOT_RETRIED
    return place


def _caveat(place: Whereabouts, lines: Iterable[EventLine]) -> str:
    if place is Whereabouts.NOT_RETRIED:
        return (
            "Pub/Sub gave it up (relay dead-letters list), or its pushes are paused or do not reach the worker "
            "(relay doctor)"
        )
    if place is Whereabouts.DROPPED:
        return "no line tells that the worker acknowledged it; make sure that the worker's lines were read, too"
    if place is not Whereabouts.BEING_RETRIED:
        return ""
    if any(line.attempt for line in lines):
        return "Pub/Sub tries again, unless the pushes are paused (relay doctor)"
    days = SUBSCRIPTION_RETENTION_SECONDS // 86_400
    return f"the lines have no attempt number: without a dead-letter policy Pub/Sub tries for {days} days"


def _after_delivery(line: EventLine, before: Whereabouts) -> Whereabouts:
    if line.is_giving_up:
        return Whereabouts.DEAD_LETTER
    if line.outcome in _ENDS:
        return _ENDS[line.outcome]
    if line.outcome != "duplicate":
        return Whereabouts.BEING_RETRIED
    return before if before is Whereabouts.HANDLED else Whereabouts.HANDLED_BEFORE
