"""What happened to an event, from the services' log lines. No I/O: log entries in, steps and the event's place out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from relay.investigation.entries import Entry
from relay.topology import MAX_DELIVERY_ATTEMPTS, SUBSCRIPTION_RETENTION_SECONDS


class Whereabouts(StrEnum):
    """Where an event is, as far as the log lines tell."""

    HANDLED = "handled"
    HANDLED_BEFORE = "handled before"
    """Every handler had succeeded already: in a run that ended late, or for another event of the same change."""
    BEING_RETRIED = "being retried"
    WAITING = "published, not delivered yet"
    DEAD_LETTER = "dead letter"
    UNHANDLED = "no handler for its type"
    DROPPED = f"dropped by Pub/Sub: not acknowledged within {SUBSCRIPTION_RETENTION_SECONDS // 86_400} days"
    NOT_STORED = "not stored: OneStock sends it again"
    NEVER_ARRIVED = "never arrived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened to an event."""

    time: datetime
    name: str
    """received, delivered, caught up (the delivery of a synthetic event), redriven (of a new generation), or log."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One event's way."""

    event_id: str
    event_type: str
    order_id: str
    steps: tuple[Step, ...]
    whereabouts: Whereabouts


def histories(entries: Iterable[Entry], *, event_id: str | None = None, order_id: str | None = None) -> list[History]:
    """Return the way of each event whose id begins with `event_id`, or that belongs to `order_id`, oldest first."""
    of_event: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.time):
        name = entry.event_id
        is_meant = name.startswith(event_id) if event_id else entry.labels.get("order_id") == order_id
        if name and is_meant and ("line" in entry.fields or "message" in entry.fields):
            of_event.setdefault(name, []).append(entry)
    return [_history(name, found) for name, found in of_event.items()]


def _history(event_id: str, entries: list[Entry]) -> History:
    labels = {key: value for entry in entries for key, value in entry.labels.items()}
    return History(
        event_id=event_id,
        event_type=labels.get("event_type", ""),
        order_id=labels.get("order_id", ""),
        steps=tuple(_step(entry) for entry in entries),
        whereabouts=whereabouts_after([EventLine.of(entry) for entry in entries]),
    )


def _step(entry: Entry) -> Step:
    fields = entry.fields
    match entry.kind:
        case "webhook":
            return Step(time=entry.time, name="received", text=_webhook_text(fields))
        case "delivery":
            name = "caught up" if fields.get("synthetic") else "delivered"
            return Step(
                time=entry.time, name="redriven" if fields.get("generation") else name, text=_delivery_text(fields)
            )
        case _:
            return Step(time=entry.time, name="log", text=f"{entry.severity}: {fields.get('message', '')}")


def _webhook_text(fields: Mapping[str, Any]) -> str:
    answered = f"answered {fields.get('status')} in {fields.get('latency_ms')} ms"
    if fields.get("outcome") == "published":
        return f"published as message {fields.get('message_id')}; {answered}"
    return f"{fields.get('outcome')}: {fields.get('reason', '')}; {answered}"


def _delivery_text(fields: Mapping[str, Any]) -> str:
    attempt = f", attempt {fields['delivery_attempt']}" if fields.get("delivery_attempt") else ""
    runs = [
        f"{run.get('name')} {run.get('outcome')}" + (f" ({run['reason']})" if run.get("reason") else "")
        for run in fields.get("handlers", [])
    ]
    head = f"message {fields.get('message_id')}{attempt}: {fields.get('outcome')}, answered {fields.get('status')}"
    return "; ".join([head, *runs])


# --- Where an event is ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventLine:
    """What one log line says about where its event is."""

    time: datetime
    kind: str
    """`webhook` and `delivery` count; other lines change nothing."""
    outcome: str
    generation: int
    """0 for the event as the receiver published it; a redrive or a replay has a higher one."""
    attempt: int
    """Which delivery attempt of Pub/Sub this was; 0 where the line does not say."""
    was_rejected: bool
    """Whether the delivery was a duplicate of one that a handler had rejected."""

    @classmethod
    def of(cls, entry: Entry) -> "EventLine":
        """Return what `entry` says."""
        fields = entry.fields
        reasons = [str(run.get("reason", "")) for run in fields.get("handlers", []) if isinstance(run, dict)]
        return cls(
            time=entry.time,
            kind=entry.kind,
            outcome=str(fields.get("outcome", "")),
            generation=fields.get("generation") or 0,
            attempt=fields.get("delivery_attempt") or 0,
            was_rejected=any(reason.startswith("already rejected") for reason in reasons),
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


def whereabouts_after(lines: Iterable[EventLine]) -> Whereabouts:
    """Return where one event is after its lines, which are in the sequence of time."""
    now = Whereabouts.NOT_STORED
    generation = 0
    for line in lines:
        if line.kind == "webhook" and line.outcome == "published" and now is Whereabouts.NOT_STORED:
            now = Whereabouts.WAITING
        if line.kind == "delivery" and (line.generation > generation or now in _NOT_ENDED):
            now = _after_delivery(line, now)
            generation = max(generation, line.generation)
    return now


def _after_delivery(line: EventLine, before: Whereabouts) -> Whereabouts:
    if line.outcome in _ENDS:
        return _ENDS[line.outcome]
    if line.outcome != "duplicate":
        return Whereabouts.DEAD_LETTER if line.attempt >= MAX_DELIVERY_ATTEMPTS else Whereabouts.BEING_RETRIED
    if before is Whereabouts.HANDLED:
        return before
    return Whereabouts.DEAD_LETTER if line.was_rejected else Whereabouts.HANDLED_BEFORE
