"""A quarantined event is confirmed by Pub/Sub, or the worker is told that it is not."""

from datetime import UTC, datetime

import pytest
from google.pubsub_v1 import SubscriberClient

from relay.errors import PublishError
from relay.events import Delivery
from relay.message import Message
from relay.pubsub.publisher import connected
from relay.pubsub.pull import PullSubscription
from relay.pubsub.quarantine import QUARANTINE_BUDGET_SECONDS, Quarantine
from relay.settings.base import PubSubSettings
from tests.pubsub.conftest import Place, all_in
from tests.support.pubsub_proxy import PubSubProxy

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DELIVERY = Delivery(
    event_id="abcdef12", event_type="x", body=b'{"order_id": "D-1"}', received_at=NOW, ordering_key="D-1"
)


def test_a_rejected_event_lies_on_the_dead_letter_topic_with_its_handler(place: Place, proxy: PubSubProxy) -> None:
    settings = PubSubSettings.from_environ({"GOOGLE_CLOUD_PROJECT": "x", "PUBSUB_EMULATOR_HOST": proxy.host})
    topic = connected(place.topic_path, settings)

    Quarantine(topic, now=lambda: NOW).put(DELIVERY, reason="no such order", handler="refund")

    with PullSubscription(SubscriberClient(), place.subscription_path) as subscription:
        (found,) = all_in(subscription)
    assert (found.delivery.event_id, found.delivery.body) == ("abcdef12", DELIVERY.body)
    assert found.message.dead_letter_marks.handler == "refund"
    assert found.message.attributes["dead_lettered_at"] == "2026-01-01T12:00:00.000+00:00"
    topic.close()


def test_a_copy_that_is_not_confirmed_is_an_error_within_the_budget() -> None:
    class Closed:
        def __init__(self) -> None:
            self.budgets: list[float] = []

        def publish(self, message: Message, *, budget_seconds: float) -> str:
            self.budgets.append(budget_seconds)
            raise PublishError(f"invented: closed for {message.event_id}")

    topic = Closed()

    with pytest.raises(PublishError, match="abcdef12"):
        Quarantine(topic, now=lambda: NOW).put(DELIVERY, reason="x", handler=None)

    assert topic.budgets == [QUARANTINE_BUDGET_SECONDS]
