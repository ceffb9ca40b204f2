"""A topic with a pull subscription for one contestant: each message that it acknowledged must be there."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from bench.errors import BenchError
from bench.prepared import PROJECT

WITHIN_SECONDS = 60
RPC_SECONDS = 30
AT_ONCE = 1_000


@dataclass(slots=True, kw_only=True)
class Arrivals:
    """The message ids that came so far."""

    topic_path: str
    subscription_path: str
    subscriber: SubscriberClient
    seen: set[str] = field(default_factory=set)

    def check(self, acknowledged: Sequence[str]) -> None:
        """Pull all that there is. Raises BenchError unless each acknowledged message id came, and was given once."""
        missing = set(acknowledged)
        if len(missing) != len(acknowledged):
            raise BenchError(f"{len(acknowledged) - len(missing)} message ids were given to more than one webhook")
        deadline = time.monotonic() + WITHIN_SECONDS
        while self._pull() or missing - self.seen:
            if time.monotonic() > deadline:
                raise BenchError(f"{len(missing - self.seen)} of {len(missing)} acknowledged messages are not there")

    def _pull(self) -> int:
        request = {"subscription": self.subscription_path, "max_messages": AT_ONCE, "return_immediately": True}
        received = self.subscriber.pull(request=request, retry=None, timeout=RPC_SECONDS).received_messages
        if received:
            done = {"subscription": self.subscription_path, "ack_ids": [message.ack_id for message in received]}
            self.subscriber.acknowledge(request=done, timeout=RPC_SECONDS)
        self.seen |= {message.message.message_id for message in received}
        return len(received)


@contextmanager
def arrivals(pubsub_host: str) -> Iterator[Arrivals]:
    """Make a topic with a pull subscription, and remove both at the end."""
    with grpc.insecure_channel(pubsub_host) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        unique = f"bench-{uuid.uuid4().hex[:12]}"
        topic_path = f"projects/{PROJECT}/topics/{unique}"
        subscription_path = f"projects/{PROJECT}/subscriptions/{unique}"
        publisher.create_topic(name=topic_path, retry=None, timeout=RPC_SECONDS)
        request = {"name": subscription_path, "topic": topic_path, "ack_deadline_seconds": 600}
        subscriber.create_subscription(request=request, retry=None, timeout=RPC_SECONDS)
        yield Arrivals(topic_path=topic_path, subscription_path=subscription_path, subscriber=subscriber)
        subscriber.delete_subscription(subscription=subscription_path, timeout=RPC_SECONDS)
        publisher.delete_topic(topic=topic_path, timeout=RPC_SECONDS)
