"""The balance of a time range: whether each webhook became an event, and each event came to its end. No I/O.

The log lines are counted twice. As lines: each webhook was published or refused, and each delivery was acknowledged or
not. As events: each one that was published has a delivery, and each one that was delivered has a webhook.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay import moments
from relay.investigation.counts import WITHOUT_EVENT, Count, Tally, named
from relay.investigation.entries import Entry
from relay.investigation.failures import common_reason
from relay.investigation.history import EVENT_LINES, Whereabouts, whereabouts_after
from relay.investigation.index import EventIndex
from relay.investigation.records import EventRecord, Summary
from relay.investigation.ways import (
    ACKNOWLEDGED,
    REFUSED,
    Way,
    has_unknown_outcome,
    is_published,
    way_of,
)

MARGIN = timedelta(minutes=15)
"""Read that much more on both sides of the range, to see where its events come from and where they go."""
MAX_EVENT_IDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What does not add up."""

    name: str
    count: int
    """How many events or lines; 0 if nobody knows, as where lines could not be read."""
    event_ids: tuple[str, ...]
    """Some of the events."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What the lines of a time range say; `until` does not belong to it."""

    since: datetime
    until: datetime
    adds_up: bool
    gaps: tuple[Gap, ...]
    webhooks: Count
    """The webhooks that the receiver answered: published or refused; the refused by outcome and reason."""
    published_events: Count
    """The events of the published webhooks, by where each is after all lines that were read."""
    deliveries: Count
    """The pushes that the worker answered, by outcome; those without an acknowledgement are under `nacked`."""
    delivered_events: Count
    """The events of the deliveries, by where each comes from."""

    @property
    def is_blind(self) -> bool:
        """Whether no webhook and no delivery is in the range, so that nothing can be said of it."""
        return not (self.webhooks.count or self.deliveries.count or self.gaps)


def balance_in(index: EventIndex, *, since: datetime, until: datetime, max_event_ids: int = MAX_EVENT_IDS) -> Balance:
    """Return the balance of what an index holds. What it has forgotten is one of the gaps."""
    lines = index.summaries(lambda _: True)
    return balance_of_records(
        lines, since=since, until=until, max_event_ids=max_event_ids, gaps=forgotten_by(index, since)
    )


def balance_of_records(
    lines: Iterable[tuple[EventRecord, Summary]],
    *,
    since: datetime,
    until: datetime,
    max_event_ids: int = MAX_EVENT_IDS,
    gaps: Sequence[Gap] = (),
) -> Balance:
    """Return the balance of an index's lines, those of one event after each other in the sequence of time."""
    found: dict[str, tuple[Whereabouts, list[Summary]]] = {}
    for record, summary in lines:
        if record.key in found:
            found[record.key][1].append(summary)
        else:
            found[record.key] = record.whereabouts, [summary]
    ways = (way_of(key, where, summaries, since, until) for key, (where, summaries) in found.items())
    return _Books(ways, since=since, until=until, max_event_ids=max_event_ids).closed(gaps)


def balance_of(
    entries: Iterable[Entry],
    *,
    since: datetime,
    until: datetime,
    read_until: datetime | None = None,
    max_event_ids: int = MAX_EVENT_IDS,
) -> Balance:
    """Return the balance of log lines, in whatever sequence they come. Only webhooks and deliveries count.

    `read_until` is when the last of these lines may be from; without it, no event has been silent for long.
    """
    found: dict[str, list[Summary]] = {}
    for number, entry in enumerate(entries):
        if entry.kind in EVENT_LINES:
            found.setdefault(entry.event_id or f"{WITHOUT_EVENT}{number}", []).append(Summary.of(entry))
    for summaries in found.values():
        summaries.sort(key=lambda summary: summary.line.time)
    ways = (
        way_of(key, whereabouts_after((one.line for one in summaries), now=read_until), summaries, since, until)
        for key, summaries in found.items()
    )
    return _Books(ways, since=since, until=until, max_event_ids=max_event_ids).closed([])


def forgotten_by(index: EventIndex, since: datetime) -> list[Gap]:
    """Return what an index no longer holds of a range that begins at `since`."""
    extent = index.extent
    gaps = []
    if extent.forgotten_until is not None and extent.forgotten_until >= since:
        text = f"The range began before {moments.shown(extent.forgotten_until)}, and older events are forgotten"
        gaps.append(Gap(name="forgotten events", count=extent.forgotten, event_ids=(), text=text))
    if extent.refused_forgotten:
        text = f"{_lines(extent.refused_forgotten)} about refused webhooks or pushes are forgotten, and not counted"
        gaps.append(Gap(name="forgotten refusals", count=extent.refused_forgotten, event_ids=(), text=text))
    return gaps


class _Books:
    """Everything that is counted of one range."""

    def __init__(self, ways: Iterable[Way], *, since: datetime, until: datetime, max_event_ids: int) -> None:
        self._since = since
        self._until = until
        self._max_event_ids = max_event_ids
        self._ways = [way for way in ways if way.meant]

    def closed(self, known_gaps: Sequence[Gap]) -> Balance:
        gaps = [*(gap for gap in map(self._gap, _GAP_KINDS) if gap.count), *known_gaps]
        return Balance(
            since=self._since,
            until=self._until,
            adds_up=not gaps,
            gaps=tuple(gaps),
            webhooks=self._webhooks(),
            published_events=self._events(
                lambda way: way.was_published, lambda way: str(way.whereabouts), "published events"
            ),
            deliveries=self._deliveries(),
            delivered_events=self._events(lambda way: way.was_delivered, lambda way: way.origin, "delivered events"),
        )

    def _webhooks(self) -> Count:
        tally = Tally("received", "published", "refused", max_event_ids=self._max_event_ids)
        for way in self._ways:
            is_known = False
            for summary in way.meant:
                if is_published(summary):
                    tally.add(way.key, "published", "sent again" if is_known else "events")
                    is_known = True
                elif summary.line.kind == "webhook":
                    outcome = summary.line.outcome
                    tally.add(way.key, "refused", REFUSED.get(outcome, _words(outcome)), _common(summary.reason))
        return tally.closed()

    def _deliveries(self) -> Count:
        tally = Tally("delivered", *ACKNOWLEDGED, "nacked", max_event_ids=self._max_event_ids)
        for way in self._ways:
            for summary in way.meant:
                outcome = summary.line.outcome
                if summary.line.kind == "delivery":
                    tally.add(way.key, *((outcome,) if outcome in ACKNOWLEDGED else ("nacked", _words(outcome))))
        return tally.closed()

    def _events(self, is_meant: Callable[[Way], bool], part: Callable[[Way], str], name: str) -> Count:
        tally = Tally(name, max_event_ids=self._max_event_ids)
        for way in self._ways:
            if is_meant(way):
                tally.add(way.key, part(way))
        return tally.closed()

    def _gap(self, kind: "_GapKind") -> Gap:
        keys = [way.key for way in self._ways if kind.is_meant(way)]
        return Gap(
            name=kind.name,
            count=len(keys),
            event_ids=named(keys, self._max_event_ids),
            text=kind.one if len(keys) == 1 else kind.many.format(len(keys)),
        )


@dataclass(frozen=True, slots=True)
class _GapKind:
    name: str
    is_meant: Callable[[Way], bool]
    one: str
    many: str


def _words(outcome: str) -> str:
    return outcome.replace("_", " ") or "no outcome"


def _common(reason: str) -> str:
    return common_reason(reason) or "no reason given"


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"


_TOLD_OTHERWISE = frozenset(
    {
        Whereabouts.HANDLED,
        Whereabouts.HANDLED_BEFORE,
        Whereabouts.UNHANDLED,
        Whereabouts.DEAD_LETTER,
        Whereabouts.WAITING,
        Whereabouts.BEING_RETRIED,
        Whereabouts.NOT_STORED,
    }
)
"""Where an event has ended, or what another gap tells."""

_GAP_KINDS = (
    _GapKind(
        "waiting",
        lambda way: way.was_published and way.whereabouts is Whereabouts.WAITING,
        "1 event was published and has no delivery: it waits, or the worker's line is missing",
        "{:,} events were published and have no delivery: they wait, or the worker's lines are missing",
    ),
    _GapKind(
        "being retried",
        lambda way: way.was_delivered and way.whereabouts is Whereabouts.BEING_RETRIED,
        "1 event was delivered and not acknowledged: Pub/Sub delivers it again",
        "{:,} events were delivered and not acknowledged: Pub/Sub delivers them again",
    ),
    _GapKind(
        "not retried",
        lambda way: (way.was_delivered or way.was_published) and way.whereabouts not in _TOLD_OTHERWISE,
        "1 event failed or waited, and no line has been about it since: Pub/Sub has given it up, dropped it, or does "
        "not push",
        "{:,} events failed or waited, and no line has been about them since: Pub/Sub has given them up, dropped them, "
        "or does not push",
    ),
    _GapKind(
        "not stored",
        lambda way: way.was_refused and way.whereabouts is Whereabouts.NOT_STORED,
        "1 event was refused and not published since: OneStock sends it again; if OneStock has disabled the webhook, "
        "relay reconcile publishes it",
        "{:,} events were refused and not published since: OneStock sends them again; if OneStock has disabled the "
        "webhook, relay reconcile publishes them",
    ),
    _GapKind(
        "without a webhook",
        lambda way: way.was_delivered and way.origin == "without a webhook",
        "1 event was delivered and has no webhook: it is older than the lines, or the receiver's line is missing",
        "{:,} events were delivered and have no webhook: they are older than the lines, or the receiver's lines are "
        "missing",
    ),
    _GapKind(
        "unknown outcomes",
        lambda way: any(map(has_unknown_outcome, way.meant)),
        "1 event or line has an outcome that this version of the relay does not know",
        "{:,} events or lines have an outcome that this version of the relay does not know",
    ),
)
