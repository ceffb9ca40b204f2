"""Which retained messages a replay means, and how it reads and publishes them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.pubsub_v1 import SubscriberClient

from relay.errors import PublishError
from relay.message import Message
from relay.pubsub.pace import Pace
from relay.pubsub.pull import Pulled
from relay.pubsub.replay import Range, replay, retained
from tests.pubsub.conftest import Place
from tests.support.dead_letters import NOW, letter
from tests.support.pubsub_proxy import ACKNOWLEDGE, SEEK, PubSubProxy

AN_HOUR = timedelta(hours=1)
LAST_HOURS = Range(since=NOW - 3 * AN_HOUR, until=NOW)


class Topic:
    """Remembers what was published; refuses one event."""

    def __init__(self, refused: str = "") -> None:
        self.published: list[Message] = []
        self.refused = refused

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        if message.event_id == self.refused:
            raise PublishError(f"invented: not within {budget_seconds} s")
        self.published.append(message)
        return "id"


def pulled(age: timedelta = 2 * AN_HOUR, **more: str) -> Pulled:
    return letter(age=age, **more).pulled


@pytest.mark.parametrize(
    ("options", "message", "is_meant"),
    [
        ({}, pulled(), True),
        ({}, pulled(3 * AN_HOUR), True),
        ({}, pulled(4 * AN_HOUR), False),
        ({}, pulled(timedelta()), False),
        ({"event_type": "order_state_changed", "order_id": "D-1"}, pulled(), True),
        ({"event_type": "parcel_state_changed"}, pulled(), False),
        ({"order_id": "D-2"}, pulled(), False),
    ],
)
def test_a_range_holds_what_was_published_in_it(options: dict[str, Any], message: Pulled, *, is_meant: bool) -> None:
    assert replace(LAST_HOURS, **options).holds(message) is is_meant


def test_pubsub_filters_by_event_type_with_its_quotes_escaped() -> None:
    assert LAST_HOURS.server_side == ""
    assert replace(LAST_HOURS, event_type='a"b\\').server_side == 'attributes.event_type = "a\\"b\\\\"'


def test_what_pubsub_confirmed_is_known_when_a_replay_breaks_off() -> None:
    topic = Topic(refused="c")
    events = iter([pulled(event_id="a"), pulled(event_id="b"), pulled(event_id="c"), pulled(event_id="d")])

    with pytest.raises(PublishError):
        list(replay(events, topic, pace=Pace(0), started_at=NOW))

    assert [message.event_id for message in topic.published] == ["a", "b"]
    assert {message.attributes["generation"] for message in topic.published} == {str(int(NOW.timestamp()))}


def test_a_replay_reads_each_event_once_and_leaves_no_subscription(place: Place, proxy: PubSubProxy) -> None:
    def bring_back(_: bytes, __: object) -> bytes:
        place.put("a", "b", "a")
        return b""

    proxy.answers[SEEK] = bring_back
    wanted = Range(since=datetime.now(UTC) - AN_HOUR, until=datetime.now(UTC) + AN_HOUR)

    with retained(place.topic_path, wanted) as events:
        found = [event.delivery.event_id for event in events]

    assert sorted(found) == ["a", "b"]
    # Pub/Sub keeps the later events of an order back until the earlier ones are acknowledged.
    assert proxy.calls[ACKNOWLEDGE] >= 1
    left = SubscriberClient().list_subscriptions(project="projects/test-relay")
    assert [each.name for each in left if "-replay-" in each.name and place.topic_path == each.topic] == []
