"""Replay: publishes a time range of the topic's retained messages once more, as a new generation.

The replay does not seek the push subscription: the worker would take what comes back for duplicates. It creates a
subscription of its own, seeks that one to the start of the range, and publishes what it reads there to the topic.

Source: "Replay and purge messages" and "Topic message retention" (Google Cloud Pub/Sub documentation).
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from google.api_core.exceptions import MethodNotImplemented
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.pubsub_v1 import ExpirationPolicy, PublisherClient, SeekRequest, SubscriberClient, Subscription

from relay.errors import PubSubError
from relay.pubsub.calls import CALL_SECONDS, RETRY, pubsub_errors
from relay.pubsub.pace import Pace
from relay.pubsub.publisher import Publisher
from relay.pubsub.pull import Pulled, PullSubscription
from relay.topology import TOPIC_RETENTION_SECONDS

PUBLISH_BUDGET_SECONDS = 30
EMULATOR_CANNOT_REPLAY = (
    "The Pub/Sub emulator cannot replay. In the folder of a local run, run one event again: relay rerun EVENT"
)
_A_DAY_SECONDS = 86_400  # Removes the subscription if we cannot.


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which events are meant: published from `since` until `until`, and fitting what else is set."""

    since: datetime
    until: datetime
    event_type: str | None = None
    order_id: str | None = None

    def holds(self, message: Pulled) -> bool:
        """Return whether `message` is meant."""
        return (
            self.since <= message.published_at < self.until
            and self.event_type in (None, message.delivery.event_type)
            and self.order_id in (None, message.delivery.ordering_key)
        )

    @property
    def server_side(self) -> str:
        """Pub/Sub's filter, which spares us the messages of other event types."""
        if self.event_type is None:
            return ""
        quoted = self.event_type.replace("\\", "\\\\").replace('"', '\\"')
        return f'attributes.event_type = "{quoted}"'


def check_retention(topic_path: str, since: datetime, now: datetime) -> None:
    """Raise PubSubError unless the topic still keeps what was published at `since`."""
    with pubsub_errors(topic_path):
        request = {"topic": topic_path}
        topic = PublisherClient().get_topic(request=request, retry=RETRY, timeout=CALL_SECONDS)
    kept_seconds = topic.message_retention_duration.total_seconds()
    if (now - since).total_seconds() > kept_seconds:
        raise PubSubError(
            f"{topic_path} keeps messages for {kept_seconds / 3600:g} h, which does not reach back to {since}; choose "
            f"a later time. For the future: gcloud pubsub topics update {topic_path.rpartition('/')[2]} "
            f"--message-retention-duration={TOPIC_RETENTION_SECONDS // 86_400}d"
        )


@contextmanager
def retained(topic_path: str, wanted: Range) -> Iterator[Iterator[Pulled]]:
    """Give the events of the range, each once, oldest first for each order. Raises PubSubError."""
    client = SubscriberClient()
    project, topic = topic_path.split("/")[1::2]
    path = f"projects/{project}/subscriptions/{topic}-replay-{uuid.uuid4().hex[:8]}"
    with pubsub_errors(path):
        client.create_subscription(request=_subscription(path, topic_path, wanted), retry=RETRY, timeout=CALL_SECONDS)
    try:
        with pubsub_errors(path):
            _seek(client, path, wanted.since)
        with PullSubscription(client, path) as subscription:
            yield _events(subscription, wanted)
    finally:
        with pubsub_errors(path):
            client.delete_subscription(request={"subscription": path}, retry=RETRY, timeout=CALL_SECONDS)


def replay(events: Iterator[Pulled], publisher: Publisher, *, pace: Pace, started_at: datetime) -> Iterator[Pulled]:
    """Publish each event again and yield it once Pub/Sub has confirmed. Raises PublishError.

    All have one generation, the Unix time of the start: higher than that of every earlier redrive or replay.
    """
    generation = int(started_at.astimezone(UTC).timestamp())
    for event in events:
        pace.wait()
        message = event.message.replayed(event.delivery, generation=generation)
        publisher.publish(message, budget_seconds=PUBLISH_BUDGET_SECONDS)
        yield event


def _seek(client: SubscriberClient, path: str, since: datetime) -> None:
    time = Timestamp(seconds=int(since.timestamp()))
    try:
        client.seek(request=SeekRequest(subscription=path, time=time), retry=RETRY, timeout=CALL_SECONDS)
    except MethodNotImplemented as error:
        raise PubSubError(EMULATOR_CANNOT_REPLAY) from error


def _subscription(path: str, topic_path: str, wanted: Range) -> Subscription:
    return Subscription(
        name=path,
        topic=topic_path,
        ack_deadline_seconds=60,
        enable_message_ordering=True,
        filter=wanted.server_side,
        expiration_policy=ExpirationPolicy(ttl=Duration(seconds=_A_DAY_SECONDS)),
    )


def _events(subscription: PullSubscription, wanted: Range) -> Iterator[Pulled]:
    """Yield each event of the range once, until nothing comes any more but what was published after it."""
    seen: set[str] = set()
    # One pull at a time: with several, the events of one order might be read out of sequence.
    pulls = subscription.pull_until_empty(pulls_at_once=1, is_meant=lambda message: message.published_at < wanted.until)
    for pulled in pulls:
        for message in pulled:
            if wanted.holds(message) and message.delivery.event_id not in seen:
                seen.add(message.delivery.event_id)
                yield message
        # Pub/Sub keeps the later events of an order back until the earlier ones are acknowledged.
        subscription.acknowledge(pulled)
