"""Creates the declared topics and subscriptions through the API, for the local run and the tests."""

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

from relay.topology import (
    DEAD_LETTER_ACK_DEADLINE_SECONDS,
    DEAD_LETTER_TOPIC_RETENTION_SECONDS,
    SUBSCRIPTION_RETENTION_SECONDS,
    TOPIC_RETENTION_SECONDS,
    Topology,
)

RPC_TIMEOUT_SECONDS = 10


def create(topology: Topology) -> None:
    """Create what does not exist yet; change nothing that exists. Raises GoogleAPICallError if Pub/Sub refuses."""
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
    policy = None
    if topology.has_dead_letter_policy:
        policy = DeadLetterPolicy(
            dead_letter_topic=topology.dead_letter_topic_path,
            max_delivery_attempts=topology.max_delivery_attempts,
        )
    return Subscription(
        name=topology.subscription_path,
        topic=topology.topic_path,
        push_config=PushConfig(push_endpoint=topology.push_endpoint),
        ack_deadline_seconds=topology.ack_deadline_seconds,
        message_retention_duration=Duration(seconds=SUBSCRIPTION_RETENTION_SECONDS),
        enable_message_ordering=True,
        expiration_policy=ExpirationPolicy(),  # Empty: never; the default removes it after 31 idle days.
        retry_policy=RetryPolicy(
            minimum_backoff=Duration(seconds=topology.min_backoff_seconds),
            maximum_backoff=Duration(seconds=topology.max_backoff_seconds),
        ),
        dead_letter_policy=policy,
    )


def _dead_letter_subscription(topology: Topology) -> Subscription:
    return Subscription(
        name=topology.dead_letter_subscription_path,
        topic=topology.dead_letter_topic_path,
        ack_deadline_seconds=DEAD_LETTER_ACK_DEADLINE_SECONDS,
        message_retention_duration=Duration(seconds=topology.dead_letter_retention_seconds),
        expiration_policy=ExpirationPolicy(),
    )
