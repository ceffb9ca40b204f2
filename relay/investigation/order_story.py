"""One order: what OneStock tells of it, beside the events that the log tells. No I/O.

A change and its events are matched by the ledger (relay/investigation/ledger.py).
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from relay import moments
from relay.investigation.entries import Entry
from relay.investigation.history import Whereabouts
from relay.investigation.ledger import Item, Period, Standing, draw_up
from relay.onestock.changes import Change

_EVER = Period(since=datetime.fromtimestamp(0, UTC), until=datetime(9999, 1, 1, tzinfo=UTC))
_MEANINGS = {
    Whereabouts.NEVER_ARRIVED: "OneStock tells this change, and no line is about an event of it.",
    Whereabouts.NOT_STORED: "Its webhook came, but the receiver could not store it: OneStock never got a 202.",
    Whereabouts.DROPPED: "Its event was stored, but not acknowledged within a week: Pub/Sub has dropped it.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldChange:
    """A change of an order, and what is known of its events."""

    change: Change
    item: Item
    is_before_lines: bool
    """Whether it is older than the lines that were read: its event may have arrived all the same."""
    may_still_come: bool
    """Whether it is so young that OneStock may still send it."""

    @property
    def at(self) -> datetime:
        """When the order changed."""
        return datetime.fromtimestamp(self.change.date, UTC)

    @property
    def is_gap(self) -> bool:
        """Whether nothing tells that an event of it is stored."""
        return self.item.standing is Standing.MISSING and not self.is_before_lines

    @property
    def is_lost(self) -> bool:
        """Whether the gap does not close by itself."""
        return self.is_gap and not self.may_still_come

    @property
    def meaning(self) -> str:
        """What a gap means; empty for what is none."""
        return _MEANINGS.get(self.item.whereabouts, "") if self.is_gap else ""

    def reconcile_command(self, *, placed_at: float | None) -> str:
        """Return the command that publishes what has changed around its date; `placed_at` is the order's."""
        since, until = self.at - timedelta(seconds=1), self.at + timedelta(seconds=1)
        placed = ["--placed-since", moments.as_option(datetime.fromtimestamp(placed_at, UTC))] if placed_at else []
        return shlex.join(
            ["relay", "reconcile", "--since", moments.as_option(since), "--until", moments.as_option(until), *placed]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStory:
    """All that is known of one order."""

    changes: tuple[ToldChange, ...]
    """Oldest first: those of OneStock's history, else those that the receiver's lines tell."""
    other_event_ids: frozenset[str]
    """Events that tell none of these changes: those of other event types, for example."""
    contentless: int
    """Events whose line does not say which change they tell, as with LOG_CONTENT=off."""

    @property
    def gaps(self) -> list[ToldChange]:
        """The changes of which nothing tells that an event is stored."""
        return [told for told in self.changes if told.is_gap]

    @property
    def lost(self) -> list[ToldChange]:
        """The gaps that do not close by themselves."""
        return [told for told in self.changes if told.is_lost]

    @property
    def on_the_way(self) -> list[ToldChange]:
        """The gaps so young that OneStock may still close them."""
        return [told for told in self.gaps if told.may_still_come]


def story_of(
    entries: Sequence[Entry],
    changes: Iterable[Change] | None,
    *,
    lines_since: datetime | None,
    on_the_way: timedelta,
    tolerance_seconds: int,
    now: datetime,
) -> OrderStory:
    """Return the story of one order.

    `entries` are its lines. `changes` are those of OneStock's history; None where it was not asked, and then no change
    can be missing. `lines_since` is from when on lines were read; None for all that there are. `on_the_way` is how long
    OneStock may take to send a change.
    """
    ledger = draw_up(entries, _EVER, changes=changes, tolerance_seconds=tolerance_seconds, now=now)
    told = tuple(
        ToldChange(
            change=item.change,
            item=item,
            is_before_lines=lines_since is not None and item.change.date < lines_since.timestamp(),
            may_still_come=item.change.date > (now - on_the_way).timestamp(),
        )
        for item in ledger.changes
        if item.change is not None
    )
    known = {event_id for one in told for event_id in one.item.event_ids}
    return OrderStory(
        changes=told,
        other_event_ids=frozenset(entry.event_id for entry in entries if entry.event_id) - known,
        contentless=ledger.contentless,
    )
