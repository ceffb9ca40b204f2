"""Catching up after an outage: ask OneStock which orders have changed, and publish each change as a synthetic event.

OneStock's search goes by the date an order was placed (likely; it may be the last update), one page at a time, and how
a page leads to the next is open. So the search goes from window to window of dates, each as long as one page holds.
The end of the last whole window is where an interrupted run goes on. An order's changes come from its history.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, islice
from typing import Protocol

from relay.errors import OneStockNotFound, OneStockUnreadable
from relay.events import moment_of
from relay.onestock.changes import Change
from relay.onestock.models import Order, StateChange
from relay.pubsub.pace import Pace
from relay.pubsub.publisher import Publisher
from relay.tracing import Trace

PAGE_SIZE = 50  # OneStock gives no more at once (likely).
FIRST_WINDOW_SECONDS = 3_600
PUBLISH_BUDGET_SECONDS = 30
CLOCKS_DIFFER_SECONDS = 86_400  # OneStock's clock may be ahead of ours; what is not there yet costs a few empty pages.


class Orders(Protocol):
    """What is asked of OneStock; `relay.onestock.OneStock` has it. Dates are in Unix seconds."""

    def search_orders(self, *, from_date: float, to_date: float, page_size: int) -> Iterator[Order]:
        """Yield the orders of these dates; a page is fetched when its first order is asked for."""
        ...

    def get_history(self, order_id: str) -> Iterator[StateChange]:
        """Yield an order's changes of state, oldest or newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which changes are meant: from `since` until `until`, of orders placed since `placed_since`; in Unix seconds."""

    since: int
    until: int
    placed_since: int
    by_history: bool = True
    """Whether each order's history is asked for; else its present state is taken for its only change."""

    def holds(self, change: Change) -> bool:
        """Return whether `change` is meant."""
        return self.since <= change.date < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is, and what it has found."""

    reached: int
    """The orders placed before this moment (Unix seconds) are done; a run may go on from here."""
    orders: int = 0
    changed_orders: int = 0
    undated_orders: int = 0
    """Orders whose history tells no change: their present state was taken, dated by their last update."""
    states: Counter[str] = field(default_factory=Counter)
    """How many events there were of each new state."""

    @property
    def events(self) -> int:
        """How many events were published, or would be."""
        return self.states.total()

    def after(self, order: "OrderChanges | None") -> "Progress":
        """Return the progress with one more order; None is one that has not changed."""
        if order is None:
            return replace(self, orders=self.orders + 1)
        return replace(
            self,
            orders=self.orders + 1,
            changed_orders=self.changed_orders + bool(order.changes),
            undated_orders=self.undated_orders + order.is_undated,
            states=self.states + Counter(change.new_state for change in order.changes),
        )


@dataclass(frozen=True, slots=True)
class OrderChanges:
    """What happened to one order, oldest first."""

    changes: tuple[Change, ...]
    is_undated: bool = False


class Reconciliation:
    """Publishes what has happened at OneStock. Doing it again does no harm: the worker knows each change by itself."""

    def __init__(
        self,
        orders: Orders,
        publisher: Publisher | None,
        *,
        pace: Pace,
        connections: int,
        now: Callable[[], datetime],
    ) -> None:
        """Publish nothing if `publisher` is None. `pace` bounds the changed orders, `now` is in UTC."""
        self._orders = orders
        self._publisher = publisher
        self._pace = pace
        self._connections = connections
        self._now = now

    def run(self, wanted: Wanted) -> Iterator[Progress]:
        """Yield the progress now and then, at last when all is done; what it tells of is confirmed by Pub/Sub.

        Raises OneStockError and PublishError.
        """
        check_dates_are_heeded(self._orders)
        progress = Progress(reached=wanted.placed_since)
        yield progress
        pool = ThreadPoolExecutor(self._connections)
        try:
            last = int(self._now().timestamp()) + CLOCKS_DIFFER_SECONDS
            for end, orders in windows(self._orders, wanted.placed_since, last):
                for part in _parts(orders):
                    for found in pool.map(lambda order: self._catch_up(order, wanted), self._paced(part, wanted)):
                        progress = progress.after(found)
                    yield progress
                progress = replace(progress, reached=end)
                yield progress
        finally:
            # Whatever has begun ends: of one order, nothing or all is published, or the order is done again.
            pool.shutdown(cancel_futures=True)

    def _paced(self, orders: Iterable[Order], wanted: Wanted) -> Iterator[Order]:
        for order in orders:
            if _may_have_changed(order, wanted) and wanted.by_history:
                self._pace.wait()
            yield order

    def _catch_up(self, order: Order, wanted: Wanted) -> OrderChanges | None:
        if not _may_have_changed(order, wanted):
            return None
        found = changes_of(order, self._history(order) if wanted.by_history else ())
        meant = tuple(change for change in found.changes if wanted.holds(change))
        for change in meant:
            self._publish(change)
        return replace(found, changes=meant)

    def _publish(self, change: Change) -> None:
        if self._publisher is not None:
            message = change.to_message(now=self._now(), traceparent=Trace.continued(None).traceparent)
            self._publisher.publish(message, budget_seconds=PUBLISH_BUDGET_SECONDS)

    def _history(self, order: Order) -> Iterable[StateChange]:
        try:
            yield from self._orders.get_history(order.id)
        except OneStockNotFound:
            return


def check_dates_are_heeded(orders: Orders) -> None:
    """Raise OneStockUnreadable if OneStock finds orders of 1970: it does not read the dates that it is given."""
    if any(orders.search_orders(from_date=1, to_date=2, page_size=1)):
        raise OneStockUnreadable(
            "search_orders", "gives orders of other dates than asked for; set ONESTOCK_API_DATES to the other way"
        )


def windows(orders: Orders, start: int, last: int) -> Iterator[tuple[int, Iterator[Order]]]:
    """Yield (end, orders) for window after window of dates from `start` up to `last`, whole seconds each.

    An order that is updated meanwhile is not missed either way: its date stays, or it moves to a later window.
    A window of one second may hold more than a page; only there it matters how a page leads to the next. That the end
    of a window belongs to it is likely; the next one begins with it, and what both have is yielded once.
    """
    at, width_seconds = start, FIRST_WINDOW_SECONDS
    before: set[str] = set()
    while at < last:
        end = min(at + width_seconds, last)
        found = orders.search_orders(from_date=at, to_date=end, page_size=PAGE_SIZE)
        page = list(islice(found, PAGE_SIZE))
        if len(page) >= PAGE_SIZE and end - at > 1:
            width_seconds = (end - at) // 2
            continue
        seen: set[str] = set()
        yield end, _new(chain(page, found), before, seen)
        at, before = end, seen
        if len(page) < PAGE_SIZE // 2:
            width_seconds *= 2


def _new(orders: Iterable[Order], before: set[str], seen: set[str]) -> Iterator[Order]:
    for order in orders:
        seen.add(order.id)
        if order.id not in before:
            yield order


def changes_of(order: Order, history: Iterable[StateChange]) -> OrderChanges:
    """Return the changes that an order's history tells of, oldest first; else its present state for its only change.

    A history has other entries, too (likely: what users did, errors); they name no new state, or no date.
    """
    entries = [(entry, int(entry.date or 0)) for entry in history if entry.new_state and _is_moment(entry.date)]
    if not entries:
        return _present_state(order)
    if entries[0][1] > entries[-1][1]:
        entries.reverse()
    entries.sort(key=lambda entry: entry[1])
    changes: list[Change] = []
    for entry, date in entries:
        before = changes[-1].new_state if changes else None
        old_state = entry.old_state or before
        changes.append(Change(order_id=order.id, new_state=str(entry.new_state), date=date, old_state=old_state))
    return OrderChanges(tuple(changes))


def _present_state(order: Order) -> OrderChanges:
    if not order.state or order.last_update is None or not _is_moment(order.last_update):
        return OrderChanges((), is_undated=True)
    change = Change(order_id=order.id, new_state=order.state, date=int(order.last_update))
    return OrderChanges((change,), is_undated=True)


def _may_have_changed(order: Order, wanted: Wanted) -> bool:
    return order.last_update is None or order.last_update >= wanted.since


def _parts(orders: Iterator[Order]) -> Iterator[list[Order]]:
    while part := list(islice(orders, PAGE_SIZE)):
        yield part


def _is_moment(date: float | None) -> bool:
    return moment_of(date) is not None
