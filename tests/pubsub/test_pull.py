"""What a command pulls is all there is, stays held while the command works, and is back or gone afterwards."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from google.pubsub_v1 import ReceivedMessage, SubscriberClient
from google.pubsub_v1.types import PullResponse

from relay.errors import PubSubError
from relay.pubsub.pull import HOLD_ENDED, PullSubscription
from tests.pubsub.conftest import Place, all_in
from tests.support.pubsub_proxy import (
    ACKNOWLEDGE,
    GET_SUBSCRIPTION,
    MODIFY_ACK_DEADLINE,
    PULL,
    Forward,
    PubSubProxy,
    Refused,
)
from tests.support.waiting import wait_until


@contextmanager
def subscribed(place: Place, *, hold_seconds: float = 60) -> Iterator[PullSubscription]:
    with PullSubscription(SubscriberClient(), place.subscription_path, hold_seconds=hold_seconds) as subscription:
        yield subscription


def refuse(_: bytes, __: Forward) -> bytes:
    raise Refused(grpc.StatusCode.PERMISSION_DENIED)


def test_everything_is_read_though_each_pull_brings_one_message_or_none(place: Place, proxy: PubSubProxy) -> None:
    place.put("a", "b", "c")
    waiting: list[ReceivedMessage] = []
    lock = threading.Lock()

    def drop_by_drop(request: bytes, forward: Forward) -> bytes:
        with lock:
            if not waiting and proxy.calls[PULL] == 0:
                waiting.extend(PullResponse.deserialize(forward(request)).received_messages)
            is_turn = proxy.calls[PULL] % 6 == 5
            some = [waiting.pop()] if waiting and is_turn else []
        return bytes(PullResponse.serialize(PullResponse(received_messages=some)))

    proxy.answers[PULL] = drop_by_drop
    with subscribed(place) as subscription:
        found = [message.delivery.event_id for message in all_in(subscription)]

    assert sorted(found) == ["a", "b", "c"]


def test_a_hold_is_renewed_for_as_long_as_the_command_works(place: Place, proxy: PubSubProxy) -> None:
    place.put("a")

    with subscribed(place, hold_seconds=3) as subscription:
        held = all_in(subscription)
        pulls_and_renewals = proxy.calls[MODIFY_ACK_DEADLINE]
        wait_until(lambda: proxy.calls[MODIFY_ACK_DEADLINE] >= pulls_and_renewals + 8, within=30)
        seen_by_others = place.event_ids()
        is_held = subscription.holds(held[0])

    assert (seen_by_others, is_held) == ([], True)


def test_what_is_not_acknowledged_is_given_back(place: Place) -> None:
    place.put("a", "b")

    with subscribed(place) as subscription:
        gone = [message for message in all_in(subscription) if message.delivery.event_id == "a"]
        may_come_back = subscription.acknowledge(gone)

    assert may_come_back == {}
    assert place.event_ids() == ["b"]


def test_a_hold_that_ended_while_the_machine_slept_is_noticed(place: Place) -> None:
    place.put("a")
    now = [1_000.0]

    with PullSubscription(SubscriberClient(), place.subscription_path, clock=lambda: now[0]) as subscription:
        held = all_in(subscription)
        was_held = subscription.holds(held[0])
        now[0] += 601
        may_come_back = subscription.acknowledge(held)

    assert (was_held, subscription.holds(held[0])) == (True, False)
    assert "our hold on it ended" in may_come_back[held[0].delivery.message_id]


def test_a_hold_that_ends_while_pubsub_confirms_leaves_it_open_whether_the_message_is_gone(
    place: Place, proxy: PubSubProxy
) -> None:
    place.put("a")
    now = [1_000.0]

    def slowly(request: bytes, forward: Forward) -> bytes:
        now[0] += 601
        return forward(request)

    proxy.answers[ACKNOWLEDGE] = slowly
    with PullSubscription(SubscriberClient(), place.subscription_path, clock=lambda: now[0]) as subscription:
        held = all_in(subscription)
        may_come_back = subscription.acknowledge(held)

    assert may_come_back == {held[0].delivery.message_id: HOLD_ENDED}


def test_a_hold_that_cannot_be_renewed_ends(place: Place, proxy: PubSubProxy) -> None:
    place.put("a")

    with subscribed(place, hold_seconds=2) as subscription:
        held = all_in(subscription)
        proxy.answers[MODIFY_ACK_DEADLINE] = refuse
        wait_until(lambda: not subscription.holds(held[0]))
        del proxy.answers[MODIFY_ACK_DEADLINE]
        wait_until(lambda: place.event_ids() == ["a"])

        assert not subscription.holds(held[0])


def test_a_renewal_that_is_confirmed_after_the_holds_end_does_not_bring_it_back(
    place: Place, proxy: PubSubProxy
) -> None:
    place.put("a")
    now = [1_000.0]
    renewals: list[float] = []

    def slowly(request: bytes, forward: Forward) -> bytes:
        renewals.append(now[0])
        now[0] += 5 if len(renewals) > 1 else 0
        return forward(request)

    proxy.answers[MODIFY_ACK_DEADLINE] = slowly
    with PullSubscription(SubscriberClient(), place.subscription_path, hold_seconds=4, clock=lambda: now[0]) as some:
        held = all_in(some)
        wait_until(lambda: len(renewals) > 1, within=40)

        wait_until(lambda: not some.holds(held[0]), within=5)


def test_what_pubsub_does_not_confirm_may_come_back(place: Place, proxy: PubSubProxy) -> None:
    place.put("a")
    proxy.answers[ACKNOWLEDGE] = refuse

    with subscribed(place) as subscription:
        held = all_in(subscription)
        may_come_back = subscription.acknowledge(held)

    assert "refused by the proxy" in may_come_back[held[0].delivery.message_id]
    assert place.event_ids() == ["a"]


def test_a_silent_pubsub_is_no_empty_subscription(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{silent.getsockname()[1]}")
        with subscribed(place) as subscription, pytest.raises(PubSubError, match="does not answer"):
            all_in(subscription)


def test_whoever_may_only_pull_gets_the_messages(place: Place, proxy: PubSubProxy) -> None:
    place.put("a")
    proxy.answers[GET_SUBSCRIPTION] = refuse

    with subscribed(place) as subscription:
        assert [message.delivery.event_id for message in all_in(subscription)] == ["a"]


def test_a_subscription_that_cannot_be_read_is_one_line(place: Place, proxy: PubSubProxy) -> None:
    proxy.answers[PULL] = refuse

    with subscribed(place) as subscription, pytest.raises(PubSubError, match=place.subscription_path) as caught:
        all_in(subscription)

    assert "\n" not in str(caught.value)
