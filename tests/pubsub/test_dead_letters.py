"""Which dead letters a filter and an id mean."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from google.pubsub_v1 import SubscriberClient

from relay.errors import DeadLetterIdRefused
from relay.pubsub.dead_letters import DeadLetter, Filter, HeldDeadLetters, select
from relay.pubsub.pull import HOLD_ENDED, PullSubscription
from tests.pubsub.conftest import Place, all_in
from tests.support.dead_letters import NOW, letter

REJECTED = letter(dead_letter_reason="The shop knows no such order", dead_letter_handler="refund")
LETTERS = [
    letter(message_id="4", event_id="11112222333344445555"),
    letter(message_id="5", event_id="494330ae706711112222"),
    letter(message_id="6", event_id="494330ae706733334444"),
    letter(message_id="7", event_id="494330ae706733334444"),
    letter(message_id="494330", event_id="aaaabbbbccccdddd"),
]


def chosen(*ids: str, limit: int = 0) -> list[str]:
    return [found.message_id for found in select(LETTERS, Filter(ids=ids), now=NOW, limit=limit)]


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({}, True),
        ({"event_type": "order_state_changed"}, True),
        ({"event_type": "parcel_state_changed"}, False),
        ({"order_id": "D-1"}, True),
        ({"order_id": "D-2"}, False),
        ({"reason": "NO SUCH order"}, True),
        ({"reason": "time-out"}, False),
        ({"handler": "refund"}, True),
        ({"handler": "archive"}, False),
        ({"older_than_seconds": 7_100}, True),
        ({"older_than_seconds": 7_300}, False),
        ({"newer_than_seconds": 7_300}, True),
        ({"newer_than_seconds": 7_100}, False),
        ({"order_id": "D-1", "handler": "archive"}, False),
    ],
)
def test_a_filter_means_what_fits_everything_in_it(options: dict[str, Any], *, fits: bool) -> None:
    assert Filter(**options).fits(REJECTED, NOW) is fits


@pytest.mark.parametrize(
    ("id_", "message_ids"),
    [
        ("4", ["4"]),
        ("494330", ["494330"]),
        ("11112222333344445555", ["4"]),
        ("111122", ["4"]),
        ("494330ae70671", ["5"]),
        ("494330ae70673", ["6", "7"]),
        ("494330ae706733334444", ["6", "7"]),
    ],
)
def test_an_id_is_whole_or_a_beginning_that_only_one_id_has(id_: str, message_ids: list[str]) -> None:
    assert chosen(id_) == message_ids


@pytest.mark.parametrize(
    ("id_", "candidates"),
    [
        ("494330ae7067", ["494330ae706711112222", "494330ae706733334444"]),
        ("11112", ["11112222333344445555"]),
        ("49433", ["494330", "494330ae706711112222", "494330ae706733334444"]),
    ],
)
def test_an_ambiguous_or_short_id_is_refused_with_the_candidates(id_: str, candidates: list[str]) -> None:
    with pytest.raises(DeadLetterIdRefused) as caught:
        chosen(id_)

    text = str(caught.value)
    assert [candidate for candidate in candidates if candidate not in text] == []
    assert "aaaabbbbccccdddd" not in text


@pytest.mark.parametrize("id_", ["ffff", "", "2222333344445555"])
def test_an_id_of_no_dead_letter_is_refused_even_beside_a_good_one(id_: str) -> None:
    with pytest.raises(DeadLetterIdRefused, match="No dead letter has the id"):
        chosen("4", id_)


def test_an_ambiguous_id_is_said_to_be() -> None:
    with pytest.raises(DeadLetterIdRefused, match="494330ae7067 is ambiguous: 2 ids begin with it"):
        chosen("494330ae7067")


def test_a_handler_is_named_by_an_ending_of_its_name() -> None:
    rejected = letter(dead_letter_handler="handlers.orders.refund")

    assert [Filter(handler=name).fits(rejected, NOW) for name in ("orders.refund", "fund")] == [True, False]


def test_many_candidates_are_named_in_part() -> None:
    letters = [letter(message_id=f"9{number:02}") for number in range(30)]

    with pytest.raises(DeadLetterIdRefused, match="and 20 more"):
        select(letters, Filter(ids=["9"]), now=NOW, limit=0)


def test_a_limit_takes_exactly_so_many_of_those_that_fit_the_oldest_first() -> None:
    letters = [
        letter(message_id=str(number), received_at=f"2026-01-01T0{9 - number}:00:00+00:00", order_id=f"D-{number % 2}")
        for number in range(9)
    ]

    found = select(letters, Filter(order_id="D-1"), now=NOW, limit=2)

    assert [each.message_id for each in found] == ["7", "5"]


def test_a_message_that_pubsub_delivered_twice_is_one_dead_letter() -> None:
    assert len(select([letter(), letter()], Filter(), now=NOW, limit=0)) == 1


def test_a_dead_letter_whose_hold_ended_is_neither_removed_nor_said_to_be(place: Place) -> None:
    place.put("a", "b")
    now = [1_000.0]

    with PullSubscription(SubscriberClient(), place.subscription_path, clock=lambda: now[0]) as subscription:
        letters = [DeadLetter(pulled=pulled) for pulled in all_in(subscription)]
        now[0] += 601
        ends = HeldDeadLetters(subscription, letters).discard()

    assert [end.may_come_back for end in ends] == [HOLD_ENDED, HOLD_ENDED]
    assert place.event_ids() == ["a", "b"]


def test_a_list_ends_although_new_dead_letters_keep_coming(place: Place) -> None:
    place.put("before")
    ended = threading.Event()

    def keep_failing() -> None:
        while not ended.wait(0.5):
            place.put("later")

    with ThreadPoolExecutor(2) as pool:
        pool.submit(keep_failing)
        try:
            found = pool.submit(listed, place).result(timeout=30)
        finally:
            ended.set()

    assert "before" in found


def listed(place: Place) -> list[str]:
    with HeldDeadLetters.held(place.subscription_path, Filter(), now=datetime.now(UTC), limit=0) as held:
        return [one.delivery.event_id for one in held.letters]
