"""Catching up: every change that OneStock tells of is published, whatever is open about how it tells."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from relay.errors import OneStockUnreadable, PublishError
from relay.message import Message
from relay.onestock import Order, StateChange
from relay.onestock.reconcile import PAGE_SIZE, Progress, Reconciliation, Scope, SyntheticEvents, changes_of
from relay.pubsub.pace import Pace

OUTAGE = 1_735_700_000
NOW = OUTAGE + 2_400
PLACED = OUTAGE - 100_000


@dataclass
class OneStockWith:
    """Orders, and each reading of what a search means."""

    orders: list[Order] = field(default_factory=list)
    histories: dict[str, list[StateChange]] = field(default_factory=dict)
    by: Callable[[Order], float] = lambda order: order.date or 0
    ends_before: bool = False
    """Whether the end of a search does not belong to it."""
    is_deaf: bool = False
    """Whether it ignores the dates."""
    pages: int = 0

    def add(self, order_id: str, *states: str, placed: int, seconds_apart: int = 60) -> None:
        """Add an order that came into these states from the outage on."""
        dates = itertools.count(OUTAGE, seconds_apart)
        self.histories[order_id] = [StateChange(new_state=state, date=next(dates)) for state in states]
        updated = OUTAGE + seconds_apart * (len(states) - 1) if states else placed
        last = states[-1] if states else "placed"
        self.orders.append(Order(id=order_id, date=placed, last_update=updated, state=last))

    def search_orders(self, *, from_date: float, to_date: float, page_size: int) -> Iterator[Order]:
        end = to_date - self.ends_before
        found = [order for order in self.orders if self.is_deaf or from_date <= self.by(order) <= end]
        for at in range(0, len(found), page_size):
            self.pages += 1
            yield from found[at : at + page_size]

    def get_history(self, order_id: str) -> Iterator[StateChange]:
        yield from self.histories[order_id]


@dataclass
class Topic:
    """Keeps what is published; full after `room` messages."""

    messages: list[Message] = field(default_factory=list)
    room: int = 1_000_000

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        if len(self.messages) >= self.room:
            raise PublishError(f"no room within {budget_seconds} s")
        self.messages.append(message)
        return str(len(self.messages))

    @property
    def changes(self) -> list[tuple[str, str]]:
        bodies = [json.loads(message.data) for message in self.messages]
        return [(body["order_id"], body["new_state"]) for body in bodies]


@pytest.fixture
def onestock() -> OneStockWith:
    return OneStockWith()


@pytest.fixture
def topic() -> Topic:
    return Topic()


def steps(
    onestock: OneStockWith, topic: Topic, *, placed_since: int = PLACED, by_history: bool = True
) -> Iterator[Progress]:
    scope = Scope(since=OUTAGE, until=NOW, placed_since=placed_since, by_history=by_history)

    def now() -> datetime:
        return datetime.fromtimestamp(NOW, UTC)

    events = SyntheticEvents(topic, now=now)
    return Reconciliation(
        onestock, lambda order: events.publish(order.changes), pace=Pace(0), connections=3, now=now
    ).run(scope)


def test_every_change_of_an_order_is_published_once_and_in_order(onestock: OneStockWith, topic: Topic) -> None:
    onestock.add("A", "picking", "packed", "fulfilled", placed=PLACED + 5)
    onestock.add("B", placed=PLACED + 9)

    *_, end = steps(onestock, topic)

    assert topic.changes == [("A", "picking"), ("A", "packed"), ("A", "fulfilled")]
    assert (end.orders, end.changed_orders, end.changes) == (2, 1, 3)
    assert end.reached == NOW


@pytest.mark.parametrize("ends_before", [False, True])
@pytest.mark.parametrize("by", [lambda order: order.date, lambda order: order.last_update], ids=["placed", "updated"])
def test_no_order_is_missed_or_doubled_whatever_a_search_goes_by(
    onestock: OneStockWith, topic: Topic, by: Callable[[Order], float], *, ends_before: bool
) -> None:
    onestock.by, onestock.ends_before = by, ends_before
    for number in range(700):
        onestock.add(f"O-{number}", "picking", placed=PLACED + number * number // 7, seconds_apart=1)
    for number in range(3 * PAGE_SIZE):
        onestock.add(f"S-{number}", "picking", placed=PLACED + 1_000)

    *_, end = steps(onestock, topic)

    counts = Counter(order_id for order_id, _ in topic.changes)
    assert set(counts) == {order.id for order in onestock.orders}
    assert set(counts.values()) == {1}
    assert end.states == {"picking": 700 + 3 * PAGE_SIZE}


def test_a_run_that_broke_off_goes_on_where_it_was(onestock: OneStockWith) -> None:
    for number in range(400):
        onestock.add(f"O-{number}", "picking", placed=PLACED + 200 * number)
    first, second = Topic(room=250), Topic()
    reached = [PLACED]

    with pytest.raises(PublishError):
        reached.extend(progress.reached for progress in steps(onestock, first))
    list(steps(onestock, second, placed_since=reached[-1]))

    assert PLACED < reached[-1] < NOW
    assert {*first.changes, *second.changes} == {(f"O-{number}", "picking") for number in range(400)}
    assert len(first.changes) + len(second.changes) < 400 + 2 * PAGE_SIZE


def test_the_same_change_makes_the_same_event(onestock: OneStockWith, topic: Topic) -> None:
    onestock.add("A", "picking", placed=PLACED)

    list(steps(onestock, topic))
    list(steps(onestock, topic))

    first, second = topic.messages
    assert first.event_id == second.event_id
    assert (first.ordering_key, first.attributes["synthetic"], first.event_type) == ("A", "true", "order_state_changed")
    assert json.loads(first.data) == {"order_id": "A", "date": OUTAGE, "new_state": "picking", "synthetic": True}


def test_only_changes_of_the_time_asked_for_are_published(onestock: OneStockWith, topic: Topic) -> None:
    onestock.add("A", "during", "after", placed=PLACED, seconds_apart=2_400)
    onestock.histories["A"].insert(0, StateChange(new_state="before", date=OUTAGE - 1))

    list(steps(onestock, topic))

    assert topic.changes == [("A", "during")]
    assert json.loads(topic.messages[0].data)["old_state"] == "before"


def test_an_order_without_a_readable_history_is_published_as_it_is_and_told(
    onestock: OneStockWith, topic: Topic
) -> None:
    onestock.add("A", "picking", "packed", placed=PLACED)
    onestock.histories["A"] = [StateChange(date=OUTAGE), StateChange(new_state="picking")]

    *_, end = steps(onestock, topic)

    assert topic.changes == [("A", "packed")]
    assert json.loads(topic.messages[0].data)["date"] == OUTAGE + 60
    assert end.undated_orders == 1


def test_by_state_no_history_is_asked_for(onestock: OneStockWith, topic: Topic) -> None:
    onestock.add("A", "picking", "packed", placed=PLACED)
    onestock.histories.clear()

    list(steps(onestock, topic, by_history=False))

    assert topic.changes == [("A", "packed")]


def test_a_search_that_ignores_its_dates_is_an_error_and_not_an_endless_search(
    onestock: OneStockWith, topic: Topic
) -> None:
    onestock.add("A", "picking", placed=PLACED)
    onestock.is_deaf = True

    with pytest.raises(OneStockUnreadable, match="ONESTOCK_API_DATES"):
        list(steps(onestock, topic))


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_history_is_read_in_either_direction(*, newest_first: bool) -> None:
    history = [StateChange(new_state=state, date=date) for state, date in [("a", 1), ("b", 2), ("c", 2), ("a", 3)]]
    history.append(StateChange(date=4))
    order = Order(id="A", state="a")

    found = changes_of(order, reversed(history) if newest_first else history)

    assert [(change.old_state, change.new_state) for change in found.changes] == [
        (None, "a"),
        ("a", "b"),
        ("b", "c"),
        ("c", "a"),
    ]


def test_a_large_catch_up_asks_for_few_pages_beyond_those_it_needs(onestock: OneStockWith) -> None:
    for number in range(5_000):
        onestock.add(f"O-{number}", "picking", placed=PLACED + 20 * number)

    *_, end = steps(onestock, Topic())

    assert end.changed_orders == 5_000
    assert onestock.pages < 4 * 5_000 / PAGE_SIZE
