"""A topic and a pull subscription for one contestant: what it acknowledged must be there."""

import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from bench.errors import BenchError

PROJECT = "bench-relay"
WITHIN_SECONDS = 60
RPC_SECONDS = 30
PULL_BYTES = 20_000_000


@dataclass(slots=True, kw_only=True)
class Arrivals:
    """The message ids that came so far, and how many different bodies."""

    topic_path: str
    subscription_path: str
    subscriber: SubscriberClient
    seen: set[str] = field(default_factory=set)
    digests: set[bytes] = field(default_factory=set)

    def check(self, acknowledged: Sequence[str], *, body_bytes: int, digests: frozenset[bytes] | None = None) -> None:
        """Pull all that there is. `digests` are the SHA-256 of the bodies that were sent, None where nobody knows.

        Raises BenchError unless each acknowledged message id came, once, and no body came that was not sent.
        """
        missing = set(acknowledged)
        if len(missing) != len(acknowledged):
            raise BenchError(f"{len(acknowledged) - len(missing)} message ids were given to more than one webhook")
        deadline = time.monotonic() + WITHIN_SECONDS
        at_once = max(1, min(1_000, PULL_BYTES // max(body_bytes, 1)))
        while missing - self.seen or self._pull(at_once):
            if time.monotonic() > deadline:
                raise BenchError(f"{len(missing - self.seen)} of {len(missing)} acknowledged messages are not there")
            self._pull(at_once)
        if digests is not None and self.digests - digests:
            raise BenchError(f"{len(self.digests - digests)} bodies came that were not sent")

    def _pull(self, at_once: int) -> int:
        request = {"subscription": self.subscription_path, "max_messages": at_once, "return_immediately": True}
        received = self.subscriber.pull(request=request, retry=None, timeout=RPC_SECONDS).received_messages
        if received:
            done = {"subscription": self.subscription_path, "ack_ids": [message.ack_id for message in received]}
            self.subscriber.acknowledge(request=done, timeout=RPC_SECONDS)
        for message in received:
            self.seen.add(message.message.message_id)
            self.digests.add(sha256(message.message.data).digest())
        return len(received)


@contextmanager
def arrivals() -> Iterator[Arrivals]:
    """Make a topic with a pull subscription, both removed at the end, with what the emulator keeps for them."""
    # The client's own channel to an emulator takes 4 MB a pull.
    channel = grpc.insecure_channel(
        os.environ["PUBSUB_EMULATOR_HOST"], options=[("grpc.max_receive_message_length", -1)]
    )
    publisher, subscriber = PublisherClient(), SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    unique = f"bench-{uuid.uuid4().hex[:12]}"
    topic_path = f"projects/{PROJECT}/topics/{unique}"
    subscription_path = f"projects/{PROJECT}/subscriptions/{unique}"
    try:
        publisher.create_topic(name=topic_path, retry=None, timeout=RPC_SECONDS)
        request = {"name": subscription_path, "topic": topic_path, "ack_deadline_seconds": 600}
        subscriber.create_subscription(request=request, retry=None, timeout=RPC_SECONDS)
    except GoogleAPICallError as error:
        raise BenchError(f"Pub/Sub did not make {topic_path}: {error}") from error
    try:
        yield Arrivals(topic_path=topic_path, subscription_path=subscription_path, subscriber=subscriber)
    finally:
        subscriber.delete_subscription(subscription=subscription_path, timeout=RPC_SECONDS)
        publisher.delete_topic(topic=topic_path, timeout=RPC_SECONDS)
        channel.close()
