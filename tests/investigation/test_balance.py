"""The balance of a time range: its parts sum up to the whole, and what does not add up is named."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.investigation.balance import Balance, balance_in, balance_of
from relay.investigation.counts import Count
from relay.investigation.entries import Entry
from relay.investigation.index import MAX_LINES_WITHOUT_EVENT, EventIndex
from relay.investigation.ways import ACKNOWLEDGED, NACKED, REFUSED
from relay.receiver.acceptance import Ending
from relay.worker.outcome import Outcome

START = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
END = START + timedelta(hours=1)


def id_of(number: int) -> str:
    return f"{number:064x}"


def webhook(event: int | None, outcome: str = "published", *, minute: float = 10, reason: str = "") -> Entry:
    return _entry("webhook", event, outcome, minute=minute, reason=reason)


def delivery(event: int | None, outcome: str = "handled", *, minute: float = 11, **fields: Any) -> Entry:
    return _entry("delivery", event, outcome, minute=minute, **fields)


def _entry(kind: str, event: int | None, outcome: str, *, minute: float, **fields: Any) -> Entry:
    labels = {"event_id": id_of(event), "event_type": "order_state_changed"} if event is not None else {}
    told = {"line": kind, "outcome": outcome, **fields}
    return Entry(time=START + timedelta(minutes=minute), fields=told, labels=labels, severity="INFO")


def balanced(*entries: Entry) -> Balance:
    return balance_of(entries, since=START, until=END)


def counts_in(count: Count) -> dict[str, int]:
    return {part.name: part.count for part in count.parts if part.count}


def test_webhooks_are_published_or_refused_by_outcome_and_reason() -> None:
    webhooks = balanced(
        webhook(1),
        webhook(2),
        webhook(2, minute=12),
        webhook(None, "refused", reason="no configured hash key matches"),
        webhook(None, "refused", reason="timestamp is 90000 s old, tolerated are 21600 s"),
        webhook(None, "refused", reason="timestamp is 90030 s old, tolerated are 21600 s"),
        webhook(3, "not_published", reason="Pub/Sub did not confirm"),
    ).webhooks

    assert (webhooks.count, counts_in(webhooks)) == (7, {"published": 3, "refused": 4})
    assert counts_in(webhooks.part("published")) == {"events": 2, "sent again": 1}
    assert counts_in(webhooks.part("refused")) == {"wrong signature": 3, "not published": 1}
    assert counts_in(webhooks.part("refused", "wrong signature")) == {
        "no configured hash key matches": 1,
        "timestamp is # s old, tolerated are # s": 2,
    }


def test_deliveries_are_acknowledged_by_outcome_or_nacked_by_outcome() -> None:
    deliveries = balanced(
        *(delivery(number, outcome) for number, outcome in enumerate(ACKNOWLEDGED)),
        delivery(6, "failed"),
        delivery(6, "timed_out", minute=12),
        delivery(None, "unauthenticated"),
    ).deliveries

    assert counts_in(deliveries) == {**dict.fromkeys(ACKNOWLEDGED, 1), "nacked": 3}
    assert counts_in(deliveries.part("nacked")) == {"failed": 1, "timed out": 1, "unauthenticated": 1}


def test_a_range_in_which_each_event_came_to_its_end_adds_up() -> None:
    balance = balanced(
        webhook(1), delivery(1, "failed"), delivery(1, minute=12), webhook(2), delivery(2, "quarantined")
    )

    assert (balance.adds_up, balance.gaps) == (True, ())
    assert counts_in(balance.published_events) == {"handled": 1, "dead letter": 1}
    assert counts_in(balance.delivered_events) == {"published in the range": 2}


def test_what_does_not_add_up_is_named_with_its_events() -> None:
    balance = balanced(
        webhook(1),
        webhook(2),
        webhook(3),
        delivery(3, "retry"),
        webhook(4, "overloaded"),
        delivery(5),
        delivery(6, "made_up"),
        webhook(6),
    )

    assert {gap.name: gap.event_ids for gap in balance.gaps} == {
        "waiting": (id_of(1), id_of(2)),
        "being retried": (id_of(3), id_of(6)),
        "not stored": (id_of(4),),
        "without a webhook": (id_of(5),),
        "unknown outcomes": (id_of(6),),
    }
    assert balance.gaps[0].text == (
        "2 events were published and have no delivery: they wait, or the worker's lines are missing"
    )
    assert not balance.adds_up


def test_a_delivered_event_tells_where_it_comes_from() -> None:
    balance = balanced(
        webhook(1, minute=-5),
        delivery(1),
        delivery(2, synthetic=True),
        delivery(3, generation=1),
        webhook(4, "not_published", reason="Pub/Sub did not confirm in time"),
        delivery(4),
    )

    assert counts_in(balance.delivered_events) == {
        "published outside the range": 1,
        "synthetic": 1,
        "redriven or replayed": 1,
        "answered as not published": 1,
    }
    assert balance.adds_up


def test_an_event_whose_end_comes_after_the_range_is_not_missed() -> None:
    balance = balanced(webhook(1, minute=59), delivery(1, minute=61))

    assert (balance.adds_up, balance.deliveries.count) == (True, 0)
    assert counts_in(balance.published_events) == {"handled": 1}


def test_an_event_that_nobody_has_tried_for_long_is_not_told_to_be_retried() -> None:
    entries = [webhook(1), delivery(1, "failed")]

    gaps = [balance_of(entries, since=START, until=END, read_until=at).gaps for at in (None, END)]

    assert [[gap.name for gap in some] for some in gaps] == [["being retried"], ["not retried"]]


def test_a_number_names_some_of_its_events_and_counts_all() -> None:
    waiting = balanced(*(webhook(number) for number in range(30))).gaps[0]

    assert (waiting.count, len(waiting.event_ids)) == (30, 20)


def test_the_balance_says_what_the_index_has_forgotten() -> None:
    index = EventIndex(max_bytes=20_000)
    index.add(webhook(None, "refused", minute=number / 100) for number in range(MAX_LINES_WITHOUT_EVENT + 5))
    index.add(entry for number in range(50) for entry in (webhook(number), delivery(number)))

    gaps = balance_in(index, since=START, until=END).gaps

    assert [gap.name for gap in gaps] == ["forgotten events", "forgotten refusals"]


def test_the_balance_knows_every_outcome_of_the_services() -> None:
    assert {*ACKNOWLEDGED, *NACKED} >= set(Outcome)
    assert all((outcome in ACKNOWLEDGED) == (outcome.status == 204) for outcome in Outcome)
    assert {"published", *REFUSED} == set(Ending)


# --- Properties -------------------------------------------------------------------------------------------------------

_outcomes = st.sampled_from(["published", *REFUSED, *ACKNOWLEDGED, *NACKED, "made_up", ""])
_lines = st.builds(
    _entry,
    st.sampled_from(["webhook", "delivery", "delivery", "webhook", "given_up", "webhook_status", ""]),
    st.one_of(st.none(), st.integers(0, 5)),
    _outcomes,
    minute=st.integers(-5, 65),
    reason=st.sampled_from(["", "after 5 s", "after 7 s", "no key"]),
    generation=st.integers(0, 2),
    synthetic=st.booleans(),
    message=st.text(max_size=3),
)


def every_count(balance: Balance) -> Iterator[Count]:
    left = [balance.webhooks, balance.published_events, balance.deliveries, balance.delivered_events]
    while left:
        yield (count := left.pop())
        left.extend(count.parts)


@given(st.lists(_lines, max_size=40))
def test_the_parts_always_sum_up_to_the_whole(entries: list[Entry]) -> None:
    balance = balanced(*entries)

    meant = [entry for entry in entries if START <= entry.time < END]
    assert balance.webhooks.count == sum(entry.kind == "webhook" for entry in meant)
    assert balance.deliveries.count == sum(entry.kind == "delivery" for entry in meant)
    for count in every_count(balance):
        assert not count.parts or count.count == sum(part.count for part in count.parts)


@given(st.lists(_lines, max_size=40))
def test_each_published_webhook_is_an_event_or_sent_again(entries: list[Entry]) -> None:
    balance = balanced(*(entry for entry in entries if entry.event_id))

    events = sum(part.count for part in balance.webhooks.part("published").parts if part.name == "events")
    assert events == balance.published_events.count


@given(st.lists(_lines, max_size=40), st.randoms(use_true_random=False))
def test_the_index_and_the_lines_themselves_have_one_balance(entries: list[Entry], random: Any) -> None:
    entries = [replace(one, fields={**one.fields, "latency_ms": number}) for number, one in enumerate(entries)]
    shuffled = random.sample(entries, len(entries))
    index = EventIndex(now=lambda: START)
    index.add(shuffled)

    assert every_number(balance_in(index, since=START, until=END)) == every_number(balanced(*entries))


def every_number(balance: Balance) -> list[tuple[str, int]]:
    counts = [(count.name, count.count) for count in every_count(balance) if count.count]
    return sorted([*counts, *((gap.name, gap.count) for gap in balance.gaps)])
