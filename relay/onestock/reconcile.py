"""Asks OneStock which orders have changed in a time, and publishes changes as synthetic events.

OneStock searches by the date an order was placed (likely; it may be the last update), one page at a time, and how a
page leads to the next is open. So we search one window of dates after another, each as long as one page holds. An
interrupted run goes on at the end of its last whole window. An order's changes come from its history.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
CLOCKS_DIFFER_SECONDS = 86_400  # OneStock's clock may be ahead of ours. A day without orders costs a few empty pages.


class OrderSource(Protocol):
    """Where orders and their histories come from; `relay.onestock.OneStock` is one. Dates are in Unix seconds."""

    def search_orders(self, *, from_date: float, to_date: float, page_size: int) -> Iterator[Order]:
        """Yield the orders of these dates; a page is fetched when its first order is asked for."""
        ...

    def get_history(self, order_id: str) -> Iterator[StateChange]:
        """Yield an order's changes of state, oldest or newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which changes are asked for: from `since` until `until`, of orders placed since `placed_since` (Unix seconds)."""

    since: int
    until: int
    placed_since: int
    by_history: bool = True
    """Whether each order's history is asked for; else its present state counts as its only change."""

    def includes(self, change: Change) -> bool:
        """Return whether `change` happened in the time that is asked for."""
        return self.since <= change.date < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is, and what it has found."""

    reached: int
    """The run has finished the orders placed before this moment (Unix seconds), at most the start of the run."""
    orders: int = 0
    changed_orders: int = 0
    undated_orders: int = 0
    """Orders whose history tells no change: their present state was taken, dated by their last update."""
    states: Counter[str] = field(default_factory=Counter)
    """How many changes led to each state."""

    @property
    def changes(self) -> int:
        """How many changes were found."""
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
    """The changes of one order, oldest first."""

    changes: tuple[Change, ...]
    is_undated: bool = False
    """Whether the order's history tells no change: its present state stands for its only one."""


class SyntheticEvents:
    """Publishes synthetic events. Publishing one twice does no harm: the worker recognises the change."""

    def __init__(self, publisher: Publisher, *, now: Callable[[], datetime]) -> None:
        """`now` is in UTC."""
        self._publisher = publisher
        self._now = now

    def publish(self, changes: Iterable[Change]) -> None:
        """Return once Pub/Sub has confirmed an event for each change, one after another. Raises PublishError."""
        for change in changes:
            message = change.to_message(now=self._now(), traceparent=Trace.continued(None).traceparent)
            self._publisher.publish(message, budget_seconds=PUBLISH_BUDGET_SECONDS)


class Reconciliation:
    """Asks OneStock for the changes of a scope, and hands them over."""

    def __init__(
        self,
        orders: OrderSource,
        hand_over: Callable[[OrderChanges], None],
        *,
        pace: Pace,
        connections: int,
        now: Callable[[], datetime],
    ) -> None:
        """Call `hand_over` from several threads, once for each order that has changed.

        `pace` bounds how many histories are asked for, `now` is in UTC.
        """
        self._orders = orders
        self._hand_over = hand_over
        self._pace = pace
        self._connections = connections
        self._now = now

    def run(self, scope: Scope) -> Iterator[Progress]:
        """Yield the progress after each page of orders; the changes that it counts were handed over.

        Raises OneStockError, and what `hand_over` raises.
        """
        check_dates_are_heeded(self._orders)
        started = int(self._now().timestamp())
        progress = Progress(reached=scope.placed_since)
        yield progress
        with _pool(self._connections) as pool:
            for end, orders in windows(self._orders, scope.placed_since, started + CLOCKS_DIFFER_SECONDS):
                for page in _pages(orders):
                    for found in pool.map(lambda order: self._changes_of(order, scope), self._paced(page, scope)):
                        progress = progress.after(found)
                    yield progress
                # This run may miss a change that happens while it runs, so that the next has to begin with its start.
                progress = replace(progress, reached=max(progress.reached, min(end, started)))
                yield progress

    def _paced(self, orders: Iterable[Order], scope: Scope) -> Iterator[Order]:
        for order in orders:
            if _may_have_changed(order, scope) and scope.by_history:
                self._pace.wait()
            yield order

    def _changes_of(self, order: Order, scope: Scope) -> OrderChanges | None:
        if not _may_have_changed(order, scope):
            return None
        found = changes_of(order, self._history(order) if scope.by_history else ())
        included = replace(found, changes=tuple(change for change in found.changes if scope.includes(change)))
        if included.changes:
            self._hand_over(included)
        return included

    def _history(self, order: Order) -> Iterable[StateChange]:
        try:
            yield from self._orders.get_history(order.id)
        except OneStockNotFound:
            return


@contextmanager
def _pool(connections: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool that finishes the orders that it has begun, whatever ends the block, and begins no other."""
    pool = ThreadPoolExecutor(connections)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def check_dates_are_heeded(orders: OrderSource) -> None:
    """Raise OneStockUnreadable if OneStock finds orders of 1970, because it then ignores the dates of a search."""
    if any(orders.search_orders(from_date=1, to_date=2, page_size=1)):
        raise OneStockUnreadable(
            "search_orders", "gives orders of other dates than asked for; set ONESTOCK_API_DATES to the other way"
        )


def windows(orders: OrderSource, start: int, last: int) -> Iterator[tuple[int, Iterator[Order]]]:
    """Yield (end, orders) for one window of dates after another from `start` up to `last`, in Unix seconds.

    An order that is updated during the search is found all the same: its date stays, or moves to a later window. A
    window of one second may hold more than a page; only there it matters how a page leads to the next. OneStock likely
    counts the end of a window as part of it; the next window begins with it, and yields no order again.
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
    """Return the changes in an order's history, oldest first; its present state as its only change if there is none.

    A history likely has other entries too (actions of users, errors). They name no new state or no date: skip them.
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


def _may_have_changed(order: Order, scope: Scope) -> bool:
    return order.last_update is None or order.last_update >= scope.since


def _pages(orders: Iterator[Order]) -> Iterator[list[Order]]:
    while page := list(islice(orders, PAGE_SIZE)):
        yield page


def _is_moment(date: float | None) -> bool:
    return moment_of(date) is not None
