"""A topic and a pull subscription of the test's own, on the emulator."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage, SubscriberClient

from relay.local.emulator import Emulator
from relay.pubsub.pull import Pulled, PullSubscription
from tests.support.pubsub_proxy import PubSubProxy


@dataclass
class Place:
    """A topic with one pull subscription."""

    topic_path: str
    subscription_path: str

    def put(self, *event_ids: str) -> None:
        """Publish a message for each of the events."""
        messages = [PubsubMessage(data=b"{}", attributes={"event_id": event_id}) for event_id in event_ids]
        PublisherClient().publish(request=PublishRequest(topic=self.topic_path, messages=messages), timeout=10)

    def event_ids(self) -> list[str]:
        """Return what anybody can pull, and give it back."""
        with PullSubscription(SubscriberClient(), self.subscription_path) as subscription:
            return sorted(message.delivery.event_id for message in all_in(subscription))


def all_in(subscription: PullSubscription) -> list[Pulled]:
    return [message for some in subscription.pull_until_empty() for message in some]


@pytest.fixture
def place(emulator: Emulator) -> Place:
    assert emulator.host
    unique = f"test-{uuid.uuid4().hex[:12]}"
    made = Place(f"projects/test-relay/topics/{unique}", f"projects/test-relay/subscriptions/{unique}")
    PublisherClient().create_topic(name=made.topic_path, timeout=10)
    subscription = {"name": made.subscription_path, "topic": made.topic_path, "ack_deadline_seconds": 10}
    SubscriberClient().create_subscription(request=subscription, timeout=10)
    return made


@pytest.fixture
def proxy(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[PubSubProxy]:
    """Put a proxy between Google's clients of this process and the emulator."""
    with PubSubProxy(emulator.host).running() as running:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", running.host)
        yield running
