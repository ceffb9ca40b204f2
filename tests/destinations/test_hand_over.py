"""Each refund and shipment is handed over once and in sequence, whatever is repeated, refused, or breaks in between."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from relay import Event, OrderStateChanged, Reject, Retry
from relay.destinations.hand_over import Destinations, HandOver
from relay.destinations.sender import Sender
from relay.errors import ClaimLost, OneStockNotFound, OneStockUnavailable
from relay.local.customer import CustomerSystem, Received, Reply
from relay.onestock.http import PooledExchange
from tests.destinations.conftest import WAIT_SECONDS, FailingStore, Shop, handing_over, to

EVENT = OrderStateChanged(order_id="ORD-1", new_state="fulfilled")


def pieces(customer: CustomerSystem) -> list[int]:
    return [data["piece"] for data in customer.taken_of("refund")]


def test_what_is_new_is_handed_over_and_nothing_twice(
    hand_over: HandOver, shop: Shop, customer: CustomerSystem
) -> None:
    shop.remove(0)
    hand_over.effects(EVENT, order_id="ORD-1")
    shop.remove(1, 2)
    shop.dispatch("P1")
    for _ in range(2):
        hand_over.effects(EVENT, order_id="ORD-1")

    assert pieces(customer) == [0, 1, 2]
    assert [data["tracking_code"] for data in customer.taken_of("shipment")] == ["T-P1"]
    assert len(customer.requests) == 4
    assert {data["event_id"] for data in customer.taken_of("refund")} == {EVENT.event_id}


def test_an_event_that_names_a_parcel_only_is_of_its_order(
    hand_over: HandOver, shop: Shop, customer: CustomerSystem
) -> None:
    shop.dispatch("P1")

    hand_over.effects(EVENT, order_id=None, parcel_id="P1")
    hand_over.effects(EVENT, order_id=None)

    assert [data["order_id"] for data in customer.taken_of("shipment")] == ["ORD-1"]


def test_what_fails_holds_up_the_rest_so_that_the_sequence_stays(
    hand_over: HandOver, shop: Shop, customer: CustomerSystem
) -> None:
    shop.remove(0, 1)
    customer.reply = lambda _: Reply(status=503)
    with pytest.raises(Retry, match="answered 503"):
        hand_over.effects(EVENT, order_id="ORD-1")
    customer.reply = lambda _: Reply()

    hand_over.effects(EVENT, order_id="ORD-1")

    assert [request.data["piece"] for request in customer.requests] == [0, 0, 1]
    assert pieces(customer) == [0, 1]


def test_what_is_refused_holds_up_nothing_and_is_tried_again_by_the_next_event(
    hand_over: HandOver, shop: Shop, customer: CustomerSystem
) -> None:
    shop.remove(0, 1)
    customer.reply = lambda received: Reply(status=422 if received.data["piece"] == 0 else 204)
    with pytest.raises(Reject, match="answered 422"):
        hand_over.effects(EVENT, order_id="ORD-1")
    customer.reply = lambda _: Reply()

    hand_over.effects(EVENT, order_id="ORD-1")

    assert pieces(customer) == [1, 0]


def test_a_hand_over_that_is_not_recorded_is_repeated_under_its_own_id(
    destinations: Destinations, exchange: PooledExchange, store: FailingStore, shop: Shop, customer: CustomerSystem
) -> None:
    sender = Sender(exchange, budget_seconds=0.5)
    hand_over = handing_over(destinations, sender, store, shop, lease_seconds=0.6)
    shop.remove(0)
    store.completions_to_lose = 100
    with pytest.raises(Retry, match="handed over, but not recorded"):
        hand_over.effects(EVENT, order_id="ORD-1")
    store.completions_to_lose = 0
    shop.remove(1)

    _until_done(hand_over, OrderStateChanged(order_id="ORD-1", new_state="closed"))

    assert [request.data["piece"] for request in customer.requests] == [0, 0, 1]
    assert customer.requests[0].webhook_id == customer.requests[1].webhook_id
    assert pieces(customer) == [0, 1]


def test_a_store_that_is_silent_for_a_moment_is_asked_again(
    hand_over: HandOver, shop: Shop, store: FailingStore, customer: CustomerSystem
) -> None:
    shop.remove(0)
    store.completions_to_lose = 1

    for _ in range(2):
        hand_over.effects(EVENT, order_id="ORD-1")

    assert len(customer.requests) == 1


def _until_done(hand_over: HandOver, event: Event = EVENT) -> None:
    while True:
        try:
            return hand_over.effects(event, order_id="ORD-1")
        except Retry:
            continue


def test_events_of_one_order_at_once_hand_over_each_thing_once_in_sequence(
    hand_over: HandOver, shop: Shop, customer: CustomerSystem
) -> None:
    shop.remove(*range(10))
    shop.dispatch("P1")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_until_done, [hand_over] * 8))

    assert len(customer.requests) == 11
    assert pieces(customer) == list(range(10))
    assert customer.taken[-1].kind == "shipment"


def test_while_another_delivery_hands_over_it_is_retried(
    hand_over: HandOver, shop: Shop, customer: CustomerSystem
) -> None:
    shop.remove(0)
    sent, going_on = threading.Event(), threading.Event()

    def hang(_: Received) -> Reply:
        sent.set()
        going_on.wait(5)
        return Reply()

    customer.reply = hang
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(hand_over.effects, EVENT, order_id="ORD-1")
        sent.wait(5)
        with pytest.raises(Retry, match="another delivery is handing over effect/refund/ORD-1/I/piece/0"):
            hand_over.effects(EVENT, order_id="ORD-1")
        going_on.set()
        first.result()

    assert len(customer.requests) == 1


@pytest.mark.parametrize(
    ("failure", "raised"), [(OneStockUnavailable("x", "429"), Retry), (OneStockNotFound("x", "404"), Reject)]
)
def test_an_order_that_cannot_be_fetched_hands_over_nothing(
    hand_over: HandOver, shop: Shop, customer: CustomerSystem, failure: Exception, raised: type[Exception]
) -> None:
    shop.failure = failure

    with pytest.raises(raised):
        hand_over.effects(EVENT, order_id="ORD-1")

    assert customer.requests == []


def test_without_the_store_nothing_is_sent(
    hand_over: HandOver, shop: Shop, store: FailingStore, customer: CustomerSystem
) -> None:
    shop.remove(0)
    store.claim_fails = True

    with pytest.raises(Retry, match="out of reach"):
        hand_over.effects(EVENT, order_id="ORD-1")

    assert customer.requests == []


def test_an_event_goes_to_its_types_destination_else_to_that_of_all_others(
    url: str, sender: Sender, store: FailingStore, shop: Shop, customer: CustomerSystem
) -> None:
    events = {"order_state_changed": to("orders", url), "*": to("rest", url)}
    hand_over = handing_over(Destinations(effects={}, events=events), sender, store, shop)

    hand_over.event(EVENT)
    hand_over.event(Event.model_validate({"n": 1}))

    assert [(received.path, received.kind) for received in customer.taken] == [
        ("/orders", "order_state_changed"),
        ("/rest", "unknown"),
    ]
    assert customer.taken[0].webhook_id == EVENT.event_id
    assert customer.taken[0].data == {"order_id": "ORD-1", "new_state": "fulfilled"}


def test_without_destinations_nothing_is_fetched_or_sent(sender: Sender, store: FailingStore, shop: Shop) -> None:
    hand_over = handing_over(Destinations(effects={}, events={}), sender, store, shop)
    shop.remove(0)

    hand_over.effects(EVENT, order_id="ORD-1")
    hand_over.event(EVENT)

    assert shop.fetches == 0


def test_a_refund_waits_until_onestock_says_which_piece_it_is(
    hand_over: HandOver, shop: Shop, customer: CustomerSystem
) -> None:
    shop.remove(0, 1)
    spans = shop.groups[0].pop("index_ranges")
    with pytest.raises(Retry, match=r"not refunded yet.*line item group G0 .*gives no index_ranges"):
        hand_over.effects(EVENT, order_id="ORD-1")
    shop.groups[0] |= {"id": "renamed", "index_ranges": spans}

    hand_over.effects(EVENT, order_id="ORD-1")

    assert sorted(pieces(customer)) == [0, 1]
    assert len(customer.requests) == 2


def test_a_refund_that_stays_uncertain_is_rejected_with_what_a_person_can_do(
    hand_over: HandOver, shop: Shop, customer: CustomerSystem
) -> None:
    shop.remove(0)
    shop.groups[0]["quantity"] = 2
    shop.now += timedelta(seconds=WAIT_SECONDS + 1)

    with pytest.raises(
        Reject, match=r"not refunded after 900 s.*Look at the order.*redrive.*In doubt: .*name 1 pieces"
    ):
        hand_over.effects(EVENT, order_id="ORD-1")

    assert customer.requests == []


def test_a_run_whose_claim_was_taken_over_while_it_was_frozen_sends_nothing(
    destinations: Destinations, sender: Sender, store: FailingStore, shop: Shop, customer: CustomerSystem
) -> None:
    shop.remove(0)
    store.is_taken_over = True

    with pytest.raises(Retry, match="ended before its effect; the effect was left out"):
        handing_over(destinations, sender, store, shop).effects(EVENT, order_id="ORD-1")

    assert customer.requests == []


def test_an_event_is_forwarded_only_while_its_run_holds_the_claim(
    hand_over: HandOver, customer: CustomerSystem
) -> None:
    def lost(_: float) -> None:
        raise ClaimLost("invented: another delivery has it")

    event = OrderStateChanged.of(EVENT.delivery, {"order_id": "ORD-1", "new_state": "s"}, check_claim=lost)

    with pytest.raises(ClaimLost, match="another delivery has it"):
        hand_over.event(event)

    assert customer.requests == []
