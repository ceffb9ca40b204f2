"""The index of log lines says what the histories say, within its bound, and tells what it has forgotten."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.investigation.entries import Entry
from relay.investigation.history import Whereabouts, histories
from relay.investigation.index import MAX_LINES_WITHOUT_EVENT, EventIndex
from relay.investigation.records import EventFilter
from tests.support.entries import START, delivery, id_of, refused, webhook

ANY = EventFilter()


def filled(*entries: Entry, max_bytes: int = 10_000_000) -> EventIndex:
    index = EventIndex(max_bytes=max_bytes)
    index.add(entries)
    return index


def test_a_row_says_in_short_what_the_lines_of_its_event_say() -> None:
    record = filled(webhook(1), delivery(1, outcome="failed", reason="ValueError: no sku")).find(id_of(1))

    assert record is not None
    assert (record.old_state, record.new_state, record.whereabouts) == ("placed", "picking", Whereabouts.BEING_RETRIED)
    assert (record.attempts, record.trace_id, record.seconds_to_end) == (1, "ab12", 1.0)
    assert [(end.name, end.reason) for end in record.failed_handlers] == [
        ("handlers.orders.follow_order", "ValueError: no sku")
    ]


def test_the_newest_event_comes_first_and_pages_follow_each_other_without_a_gap() -> None:
    index = filled(*(webhook(number, seconds=number) for number in range(25)))

    keys: list[str] = []
    older = ""
    while older or not keys:
        page = index.page(ANY, older_than=older, limit=10)
        keys += [record.key for record in page.records]
        older = page.older

    assert keys == [id_of(number) for number in reversed(range(25))]


def test_each_filter_finds_only_what_fits() -> None:
    index = filled(
        webhook(1),
        webhook(2, order_id="ORD-2"),
        delivery(2, outcome="failed", reason="No SKU", order_id="ORD-2"),
        refused(3),
    )

    def keys(**wanted: Any) -> set[str]:
        return {record.key for record in index.records(EventFilter(**wanted))}

    assert keys(order_id="ORD-1") == {id_of(1)}
    assert keys(event_id=id_of(2)[:63]) == {id_of(1), id_of(2)}
    assert keys(whereabouts=Whereabouts.BEING_RETRIED) == {id_of(2)}
    assert keys(handler="handlers.orders.follow_order", reason="no sku") == {id_of(2)}
    assert keys(reason="signature") == {"~1"}
    assert keys(since=START + timedelta(seconds=2)) == {"~1"}
    assert keys(trace_id="none") == set()


def test_an_event_is_found_by_the_beginning_of_its_id_if_no_other_begins_so() -> None:
    index = filled(webhook(0xA << 248), webhook(0xB << 248), webhook((0xB << 248) + 1))

    assert index.find("00"[:1]) is None
    assert index.find("0a") == index.find(id_of(0xA << 248))


def test_beyond_its_bound_it_forgets_the_oldest_events_and_says_so() -> None:
    index = filled(*(webhook(number, seconds=number) for number in range(100)), max_bytes=100_000)

    extent = index.extent
    assert 10 < extent.events < 100
    assert extent.events + extent.forgotten == 100
    assert extent.forgotten_until == START + timedelta(seconds=extent.forgotten - 1)
    assert index.find(id_of(0)) is None
    assert index.find(id_of(99)) is not None


def test_refused_webhooks_push_no_event_out() -> None:
    index = filled(webhook(1), *(refused(number) for number in range(MAX_LINES_WITHOUT_EVENT + 50)))

    assert index.find(id_of(1)) is not None
    assert index.extent.refused_forgotten == 50
    assert index.extent.forgotten == 0


def test_who_waits_for_a_change_is_told_of_it_at_once() -> None:
    index = filled(webhook(1))
    version = index.version

    index.add([delivery(1)])

    assert index.wait_for_change(version, timeout_seconds=0) > version


def test_a_line_that_comes_late_finds_its_place() -> None:
    index = filled(delivery(1, seconds=5), webhook(1, seconds=0), webhook(2, seconds=2))

    assert [record.key for record in index.page(ANY, limit=5).records] == [id_of(2), id_of(1)]
    assert [entry.kind for entry in index.entries([id_of(1)])] == ["webhook", "delivery"]


def test_a_line_that_is_read_twice_counts_once() -> None:
    index = filled(webhook(1), refused(2), delivery(1))
    version = index.version

    index.add([webhook(1), refused(2), delivery(1)])

    assert (index.extent.lines, index.extent.events, index.version) == (3, 2, version)


def test_an_event_that_is_silent_for_long_is_not_called_being_retried() -> None:
    index = EventIndex(now=lambda: START + timedelta(days=1))
    index.add([webhook(1), delivery(1, outcome="failed")])

    assert [record.whereabouts for record in index.records(ANY)] == [Whereabouts.NOT_RETRIED]


def test_what_a_handler_logs_does_not_end_the_silence_of_an_event() -> None:
    index = EventIndex(now=lambda: START + timedelta(days=1))
    said = Entry(
        time=START + timedelta(days=1), fields={"message": "still here"}, labels={"event_id": id_of(1)}, severity="INFO"
    )
    index.add([webhook(1), delivery(1, outcome="failed"), said])

    assert [record.whereabouts for record in index.records(ANY)] == [Whereabouts.NOT_RETRIED]


@st.composite
def some_lines(draw: st.DrawFn) -> list[Entry]:
    def lines() -> Iterator[Entry]:
        for _ in range(draw(st.integers(1, 30))):
            number, seconds = draw(st.integers(0, 5)), draw(st.integers(0, 50))
            outcome = draw(st.sampled_from(["handled", "failed", "quarantined", "duplicate"]))
            yield draw(
                st.sampled_from([webhook(number, seconds=seconds), delivery(number, seconds=seconds, outcome=outcome)])
            )

    return list(lines())


@given(some_lines())
def test_it_never_disagrees_with_the_histories(entries: list[Entry]) -> None:
    index = filled(*entries)

    for number in range(6):
        told = histories(entries, event_id=id_of(number))
        record = index.find(id_of(number))
        assert [history.whereabouts for history in told] == ([record.whereabouts] if record else [])
