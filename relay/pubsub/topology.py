"""The topics and subscriptions that the relay needs, made through the API. Making them twice changes nothing."""

from dataclasses import dataclass

from google.api_core.exceptions import AlreadyExists
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1 import (
    DeadLetterPolicy,
    ExpirationPolicy,
    PublisherClient,
    PushConfig,
    RetryPolicy,
    SubscriberClient,
    Subscription,
    Topic,
)

RPC_TIMEOUT_SECONDS = 10
DEAD_LETTER_RETENTION_SECONDS = 7 * 86_400  # The emulator's maximum for a subscription.
DEAD_LETTER_TOPIC_RETENTION_SECONDS = 31 * 86_400  # Pub/Sub's maximum: a seek brings back what nobody looked at.
TOPIC_RETENTION_SECONDS = 7 * 86_400  # What a replay can reach back to.


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The names (short) and limits (seconds) of one installation."""

    project: str
    topic: str
    subscription: str
    dead_letter_topic: str
    dead_letter_subscription: str
    push_endpoint: str
    ack_deadline_seconds: int = 600
    min_backoff_seconds: int = 10
    max_backoff_seconds: int = 600
    max_delivery_attempts: int = 100

    @property
    def topic_path(self) -> str:
        """The full name of the topic that the receiver publishes to."""
        return f"projects/{self.project}/topics/{self.topic}"

    @property
    def dead_letter_topic_path(self) -> str:
        """The full name of the topic for what cannot be handled."""
        return f"projects/{self.project}/topics/{self.dead_letter_topic}"

    @property
    def subscription_path(self) -> str:
        """The full name of the push subscription."""
        return f"projects/{self.project}/subscriptions/{self.subscription}"

    @property
    def dead_letter_subscription_path(self) -> str:
        """The full name of the pull subscription that keeps the dead letters."""
        return f"projects/{self.project}/subscriptions/{self.dead_letter_subscription}"


def create(topology: Topology) -> None:
    """Create what does not exist yet. Raises GoogleAPICallError if Pub/Sub does not answer."""
    publisher, subscriber = PublisherClient(), SubscriberClient()
    retentions = {
        topology.topic_path: TOPIC_RETENTION_SECONDS,
        topology.dead_letter_topic_path: DEAD_LETTER_TOPIC_RETENTION_SECONDS,
    }
    for path, seconds in retentions.items():
        topic = Topic(name=path, message_retention_duration=Duration(seconds=seconds))
        try:
            publisher.create_topic(request=topic, retry=None, timeout=RPC_TIMEOUT_SECONDS)
        except AlreadyExists:
            continue
    for subscription in (_push_subscription(topology), _dead_letter_subscription(topology)):
        try:
            subscriber.create_subscription(request=subscription, retry=None, timeout=RPC_TIMEOUT_SECONDS)
        except AlreadyExists:
            continue


def _push_subscription(topology: Topology) -> Subscription:
    return Subscription(
        name=topology.subscription_path,
        topic=topology.topic_path,
        push_config=PushConfig(push_endpoint=topology.push_endpoint),
        ack_deadline_seconds=topology.ack_deadline_seconds,
        enable_message_ordering=True,
        expiration_policy=ExpirationPolicy(),  # Empty: never; the default removes it after 31 idle days.
        retry_policy=RetryPolicy(
            minimum_backoff=Duration(seconds=topology.min_backoff_seconds),
            maximum_backoff=Duration(seconds=topology.max_backoff_seconds),
        ),
        dead_letter_policy=DeadLetterPolicy(
            dead_letter_topic=topology.dead_letter_topic_path,
            max_delivery_attempts=topology.max_delivery_attempts,
        ),
    )


def _dead_letter_subscription(topology: Topology) -> Subscription:
    return Subscription(
        name=topology.dead_letter_subscription_path,
        topic=topology.dead_letter_topic_path,
        ack_deadline_seconds=60,
        message_retention_duration=Duration(seconds=DEAD_LETTER_RETENTION_SECONDS),
        expiration_policy=ExpirationPolicy(),
    )
