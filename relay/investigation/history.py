"""What happened to an event, from the services' log lines. No I/O: log entries in, steps and a verdict out."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

_LABELS = "logging.googleapis.com/labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One log line, wherever it was read."""

    time: datetime
    fields: Mapping[str, Any]
    labels: Mapping[str, str]
    severity: str

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> Self | None:
        """Return the entry in a line of a service's output, or in an entry as `gcloud logging read` prints it."""
        fields = line.get("jsonPayload", line)
        labels = line.get("labels", line.get(_LABELS, {}))
        time = _moment(line.get("timestamp", line.get("time")))
        if not isinstance(fields, dict) or not isinstance(labels, dict) or time is None:
            return None
        return cls(time=time, fields=fields, labels=labels, severity=str(line.get("severity", "INFO")))


def read_entries(text: str) -> Iterator[Entry]:
    """Yield the entries in `text`: one JSON object a line, or one JSON array; anything else in it is passed over."""
    whole = _json_or_none(text) if text.lstrip().startswith("[") else None
    objects = whole if isinstance(whole, list) else [_json_or_none(line) for line in text.splitlines()]
    for line in objects:
        entry = Entry.from_line(line) if isinstance(line, dict) else None
        if entry is not None:
            yield entry


class Verdict(StrEnum):
    """Where an event is now, as far as the log tells."""

    HANDLED = "handled"
    HANDLED_BEFORE = "handled before"
    """By a run that ended late, or as another event of the same change; its steps say which."""
    DEAD_LETTER = "dead letter"
    BEING_RETRIED = "being retried"
    UNHANDLED = "no handler for its type"
    WAITING = "published, not delivered yet"
    NOT_STORED = "not stored: OneStock sends it again"


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
    verdict: Verdict


def histories(entries: Iterable[Entry], *, event_id: str | None = None, order_id: str | None = None) -> list[History]:
    """Return the way of each event whose id begins with `event_id`, or that belongs to `order_id`, oldest first."""
    of_event: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.time):
        name = entry.labels.get("event_id", "")
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
        verdict=_verdict(entries),
    )


def _step(entry: Entry) -> Step:
    fields = entry.fields
    match fields.get("line"):
        case "webhook":
            return Step(time=entry.time, name="received", text=_webhook_text(fields))
        case "delivery":
            made_how = "caught up" if fields.get("synthetic") else "delivered"
            name = "redriven" if fields.get("generation") else made_how
            return Step(time=entry.time, name=name, text=_delivery_text(fields))
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


# Once an event is here, later deliveries of the same generation change nothing.
_ENDS = {
    "handled": Verdict.HANDLED,
    "stale": Verdict.HANDLED,
    "quarantined": Verdict.DEAD_LETTER,
    "unhandled": Verdict.UNHANDLED,
}


_OPEN = (Verdict.WAITING, Verdict.BEING_RETRIED, Verdict.NOT_STORED, Verdict.HANDLED_BEFORE)


def _verdict(entries: list[Entry]) -> Verdict:
    verdict = Verdict.NOT_STORED
    generation = -1
    for entry in entries:
        outcome = str(entry.fields.get("outcome", ""))
        if entry.fields.get("line") == "webhook" and outcome == "published" and generation < 0:
            verdict = Verdict.WAITING
        if entry.fields.get("line") != "delivery":
            continue
        its_generation = entry.fields.get("generation") or 0
        if outcome == "duplicate":
            if verdict in _OPEN and its_generation >= generation:
                verdict = Verdict.HANDLED_BEFORE
            continue
        if its_generation > generation or verdict in _OPEN:
            generation = max(generation, its_generation)
            verdict = _ENDS.get(outcome, Verdict.BEING_RETRIED)
    return verdict


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
