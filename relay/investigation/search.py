"""Which log lines answer a question, and what a place must offer in which lines are read. No I/O."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Protocol, Self

from relay.investigation.entries import Entry
from relay.investigation.history import Whereabouts
from relay.investigation.records import EventFilter

CANONICAL = 'jsonPayload.line=("webhook" OR "delivery")'
FAILED = (
    '((jsonPayload.line="webhook" AND jsonPayload.status!=202) OR '
    '(jsonPayload.line="delivery" AND (jsonPayload.status!=204 OR jsonPayload.outcome="quarantined")))'
)
"""The lines of what failed, in Cloud Logging's query language; `has_failed` says the same."""

_FAILED_THERE = (Whereabouts.BEING_RETRIED, Whereabouts.NOT_RETRIED, Whereabouts.DEAD_LETTER, Whereabouts.NOT_STORED)
_TRACE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_EVENT_ID = re.compile(r"[0-9a-f]{6,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFilter:
    """Which lines are meant, by what each line says of its event: those that fit everything that is set."""

    order_id: str = ""
    event_id: str = ""
    """An event id, or its beginning."""
    trace_id: str = ""
    event_type: str = ""
    reason: str = ""
    """A part of the reason in a line, or of one of its handlers' reasons, in any case."""
    has_failed: bool = False
    """Whether only lines are meant that say that something failed."""

    @classmethod
    def of(cls, wanted: EventFilter) -> Self:
        """Return the filter that means a line at least of each event that `wanted` means."""
        return cls(
            order_id=wanted.order_id,
            event_id=wanted.event_id,
            trace_id=wanted.trace_id,
            event_type=wanted.event_type,
            reason=wanted.reason,
            has_failed=wanted.whereabouts in _FAILED_THERE,
        )

    @property
    def is_of_some_lines(self) -> bool:
        """Whether an event that is meant has lines that are not."""
        return self.has_failed or bool(self.reason)

    def fits(self, entry: Entry) -> bool:
        """Return whether a line is meant."""
        labels = entry.labels
        return (
            self.order_id in ("", labels.get("order_id"))
            and self.event_type in ("", labels.get("event_type"))
            and self.trace_id in ("", entry.trace_id)
            and entry.event_id.startswith(self.event_id)
            and (not self.has_failed or has_failed(entry))
            and (not self.reason or self._has_reason(entry))
        )

    def _has_reason(self, entry: Entry) -> bool:
        reasons = [entry.fields.get("reason", ""), *(run.get("reason", "") for run in entry.runs)]
        return any(self.reason.lower() in str(reason).lower() for reason in reasons)

    def conditions(self) -> list[str]:
        """Return the conditions in Cloud Logging's query language, to be joined by AND."""
        conditions = []
        if self.event_id:
            conditions.append(f"labels.event_id=~{_quoted(f'^{re.escape(self.event_id)}')}")
        if self.order_id:
            conditions.append(f"labels.order_id={_quoted(self.order_id)}")
        if self.event_type:
            conditions.append(f"labels.event_type={_quoted(self.event_type)}")
        if self.trace_id:
            conditions.append(f"trace:{_quoted(self.trace_id)}")
        if self.reason:
            reason = _quoted(self.reason)
            conditions.append(f"(jsonPayload.reason:{reason} OR jsonPayload.handlers.reason:{reason})")
        return [*conditions, FAILED] if self.has_failed else conditions


def of_events(event_ids: Sequence[str]) -> str:
    """Return the condition that a line is about one of these events, in Cloud Logging's query language."""
    ids = " OR ".join(map(_quoted, event_ids))
    return f"labels.event_id=({ids})" if len(event_ids) > 1 else f"labels.event_id={ids}"


def is_trace_id(text: str) -> bool:
    """Return whether `text` can be a trace id: 32 hex digits in lower case."""
    return bool(_TRACE_ID.fullmatch(text))


def begins_event_id(text: str) -> bool:
    """Return whether an event id can begin with `text`: 6 to 64 hex digits in lower case."""
    return bool(_EVENT_ID.fullmatch(text))


def meanings_of(text: str) -> list[EventFilter]:
    """Return what a text in a search box may mean, the likeliest first: an order, a trace, an event, or a reason."""
    lower = text.lower()
    traces = [EventFilter(trace_id=lower)] if is_trace_id(lower) else []
    events = [EventFilter(event_id=lower)] if begins_event_id(lower) else []
    return [EventFilter(order_id=text), *traces, *events, EventFilter(reason=text)]


def has_failed(entry: Entry) -> bool:
    """Return whether a line says that a webhook, a push or a delivery failed."""
    status = entry.fields.get("status")
    if entry.kind == "delivery" and entry.fields.get("outcome") == "quarantined":
        return True
    done = {"webhook": HTTPStatus.ACCEPTED, "delivery": HTTPStatus.NO_CONTENT}.get(entry.kind)
    return done is not None and status is not None and bool(status != done)


class LogSource(Protocol):
    """A place in which the services' log lines are read. Its text names it, for people.

    Canonical lines are those of webhooks and deliveries. Each method raises LogUnreadable.
    """

    def slices(self, since: datetime) -> list[tuple[datetime, datetime | None]]:
        """Return the parts in which to read the time since then, the newest first: beginning, end (None: now)."""
        ...

    def lines(self, wanted: LineFilter, *, since: datetime, until: datetime | None = None) -> Iterator[Entry]:
        """Yield the canonical lines of a time range that are meant."""
        ...

    def lines_of_events(self, wanted: LineFilter, *, since: datetime, until: datetime | None) -> Iterator[Entry]:
        """Yield all canonical lines from `since` on of the events that have a line that is meant before `until`.

        Lines about no event come if they are meant. Lines that are not meant may be among them.
        """
        ...

    def all_lines(self, wanted: LineFilter, *, since: datetime) -> Iterator[Entry]:
        """Yield every line that is meant, what handlers have logged included."""
        ...


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
