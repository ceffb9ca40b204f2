"""The tools. Each reads, and returns what the command's --json prints, within a bound."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from relay import moments
from relay.errors import ConfigurationError
from relay.investigation.answers import balance_answer, events_answer, failures_answer, trace_answer
from relay.investigation.history import Whereabouts
from relay.investigation.records import EventFilter
from relay.investigation.search import LineFilter, meanings_of
from relay.mcp.bound import bounded
from relay.mcp.readers import Readers

DEFAULT_EVENTS = 50
MAX_EVENTS = 500

Text = Annotated[str, Field(description="An order's id, an event's id or its first 6 digits, a trace id, or a part of "
                            "the reason why something failed.")]  # fmt: skip
OrderId = Annotated[str, Field(description="The order's id, whole, such as ORD-1001.")]
EventId = Annotated[str, Field(description="The event's id: 64 hex digits, or its first 6 at least.")]
TraceId = Annotated[str, Field(description="The trace's id: 32 hex digits.")]
EventType = Annotated[str, Field(description="OneStock's event type, such as order_state_changed.")]
Handler = Annotated[str, Field(description="The whole name of a handler, such as handlers.orders.follow_order.")]
Reason = Annotated[str, Field(description="A part of the reason why a handler failed or the receiver refused.")]
Where = Annotated[
    str, Field(description=f"Where the events are now: {', '.join(w.name.lower() for w in Whereabouts)}.")
]
Since = Annotated[
    str, Field(description="From when on: how long ago, such as 90s, 15m, 2h or 7d, or an ISO 8601 time.")
]
Until = Annotated[str, Field(description="Until when, in the same form; empty means now.")]
Limit = Annotated[int, Field(ge=1, le=MAX_EVENTS, description="How many events at most, the newest first.")]

_NARROW = "Narrow it with order_id, event_type, where, handler, reason, since or until."


class Tools:
    """The questions that an assistant may ask."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def all(self) -> list[Callable[..., str]]:
        """Return every tool; its name is the method's, its description the docstring."""
        return [
            self.find_events,
            self.trace_event,
            self.order,
            self.failures,
            self.dead_letters,
            self.webhooks,
            self.balance,
            self.doctor,
        ]

    def find_events(  # noqa: PLR0913 - an argument of the tool is a parameter
        self,
        *,
        text: Text = "",
        order_id: OrderId = "",
        event_id: EventId = "",
        trace_id: TraceId = "",
        event_type: EventType = "",
        where: Where = "",
        handler: Handler = "",
        reason: Reason = "",
        since: Since = "1d",
        until: Until = "",
        limit: Limit = DEFAULT_EVENTS,
    ) -> str:
        """Find events (webhooks that OneStock has sent), the newest first, each in one row.

        A row tells the order, the change of state, where the event is now, how often it was delivered, and each handler
        with its outcome and reason. Use `text` if you do not know what kind of id somebody gave you. All other
        arguments must fit together. `searched` says where was looked and since when: nothing found means nothing
        there. The same as the command `relay events --json`.
        """
        wanted = EventFilter(
            order_id=order_id,
            event_id=event_id.lower(),
            trace_id=trace_id.lower(),
            event_type=event_type,
            whereabouts=_place(where),
            handler=handler,
            reason=reason,
            until=_until(until),
        )
        for meaning in meanings_of(text) if text else [wanted]:
            answer = self._events(meaning, since, limit)
            if answer["events"]:
                break
        return bounded(answer, narrow=_NARROW)

    def trace_event(self, event_id: EventId, since: Since = "7d") -> str:
        """Tell one event's whole way: received, published, each delivery, each handler, what handlers logged, and now.

        The steps come in the sequence of time. The same as the command `relay trace EVENT_ID --json`.
        """
        return self._ways(LineFilter(event_id=event_id.lower()), since, narrow="Take a shorter time with since.")

    def order(self, order_id: OrderId, since: Since = "7d") -> str:
        """Tell what happened to an order: the whole way of each of its events, in the sequence of time.

        Answers "what happened to order X". The same as the command `relay trace --order ORDER_ID --json`.
        """
        narrow = "Take a shorter time with since, or ask trace_event for one event."
        return self._ways(LineFilter(order_id=order_id), since, narrow=narrow)

    def failures(self, since: Since = "1h", until: Until = "") -> str:
        """Tell what failed in a time range and why, grouped by handler and reason, the group with the most first.

        Answers "what failed in the last hour". `handlers` are deliveries that failed; `webhooks` what the receiver
        refused or could not store; `pushes` what the worker refused. A group tells how many, when, one reason as it
        stands, some event ids, and where these events are now: `handled` means that a later attempt succeeded. The same
        as the command `relay failures --json`.
        """
        answer = failures_answer(self._readers.log(), since=_moment(since), until=_until(until))
        return bounded(answer, narrow="Take a shorter time with since and until.")

    def dead_letters(
        self,
        order_id: OrderId = "",
        event_type: EventType = "",
        handler: Handler = "",
        reason: Reason = "",
        since: Since = "7d",
        limit: Limit = DEFAULT_EVENTS,
    ) -> str:
        """List the events that are dead letters: no handler could handle them, and nothing tries them again.

        The list comes from the log, and hides no dead letter from anybody. A person brings them back with the command
        `relay dead-letters redrive`, once the cause is mended. The same as `relay events --where dead_letter --json`.
        """
        wanted = EventFilter(
            order_id=order_id,
            event_type=event_type,
            handler=handler,
            reason=reason,
            whereabouts=Whereabouts.DEAD_LETTER,
        )
        return bounded(self._events(wanted, since, limit), narrow=_NARROW)

    def webhooks(self) -> str:
        """List the webhooks at OneStock with their status: OneStock stores no events of one that is disabled.

        The same as the command `relay webhooks list --json`.
        """
        return bounded({"webhooks": self._readers.webhooks()}, narrow="`relay webhooks list` shows all.")

    def balance(self, since: Since = "1h", until: Until = "") -> str:
        """Tell whether everything that OneStock sent in a time range was published, delivered and handled.

        Received is published plus refused; delivered is handled, duplicate, stale, unhandled, quarantined and nacked.
        `gaps` names what does not add up, with some of the events. Lines of a quarter of an hour around the range tell
        where its events come from and go. The same as the command `relay balance --json`.
        """
        ends = _until(until) or datetime.now(UTC)
        begins = _moment(since)
        if begins >= ends:
            raise ConfigurationError("since must be before until")
        answer = balance_answer(self._readers.log(), since=begins, until=ends)
        return bounded(answer, narrow="Take a shorter time with since and until.")

    def doctor(self) -> str:
        """Check the installation: topics, subscriptions, grants, both services, the store, the alerts and the clocks.

        Each finding is good, bad or unknown; a bad one has the commands with which a person mends it. It takes some
        seconds. The same as the command `relay doctor --json`.
        """
        return bounded({"findings": self._readers.findings()}, narrow="`relay doctor` shows all.")

    def _events(self, wanted: EventFilter, since: str, limit: int) -> dict[str, Any]:
        return events_answer(self._readers.log(), wanted, since=_moment(since), limit=limit)

    def _ways(self, wanted: LineFilter, since: str, *, narrow: str) -> str:
        answer = trace_answer(self._readers.log(), wanted, since=_moment(since))
        return bounded(answer, narrow=narrow, newest_last=True)


def _moment(text: str) -> datetime:
    moment = moments.typed(text)
    if moment is None:
        raise ConfigurationError(f"{text!r} is no time: write 2h (ago), 2026-01-31 or 2026-01-31T09:30:00Z")
    return moment.astimezone(UTC)


def _until(text: str) -> datetime | None:
    return _moment(text) if text else None


def _place(text: str) -> Whereabouts | None:
    place = Whereabouts.named(text) if text else None
    if text and place is None:
        raise ConfigurationError(
            f"where: {text!r} is no place; one of {', '.join(w.name.lower() for w in Whereabouts)}"
        )
    return place
