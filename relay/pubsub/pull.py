"""Pulling messages by hand, for commands: what is pulled stays held until it is acknowledged or given back."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import ReceivedMessage, SubscriberClient

from relay.errors import PubSubError
from relay.events import Delivery
from relay.message import Message

PULL_SECONDS = 3  # Pub/Sub holds a pull open while nothing is there; with this much silence we take it for empty.
RPC_TIMEOUT_SECONDS = 30
HOLD_SECONDS = 600  # Pub/Sub's maximum.
EXTEND_AFTER_SECONDS = 300
MAX_PULLED = 1_000
MAX_ACK_IDS = 1_000  # A request holds 512 KB; an ack id has about 200 bytes.
MAX_BODY_BYTES = 32_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """One message that is held: as it lies on the topic, and the event in it."""

    ack_id: str
    message: Message
    delivery: Delivery
    published_at: datetime


class PullSubscription:
    """A pull subscription (`projects/PROJECT/subscriptions/NAME`) and what we hold of it."""

    def __init__(self, client: SubscriberClient, path: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._path = path
        self._clock = clock
        self._held: dict[str, None] = {}
        self._extended_at = clock()

    def pull(self) -> list[Pulled]:
        """Return messages that nobody holds, and hold them; none if there are no more. Raises PubSubError."""
        request = {"subscription": self._path, "max_messages": MAX_PULLED}
        with pubsub_errors(self._path):
            try:
                received = self._client.pull(request=request, retry=None, timeout=PULL_SECONDS).received_messages
            except DeadlineExceeded:
                return []
        pulled = [_pulled(message) for message in received]
        self._held |= dict.fromkeys(message.ack_id for message in pulled)
        self._extend([message.ack_id for message in pulled], HOLD_SECONDS)
        return pulled

    def keep(self) -> None:
        """Go on holding; call it once in a while during long work."""
        if self._clock() - self._extended_at > EXTEND_AFTER_SECONDS:
            self._extended_at = self._clock()
            self._extend(list(self._held), HOLD_SECONDS)

    def acknowledge(self, messages: Sequence[Pulled]) -> None:
        """Remove messages from the subscription for good. Raises PubSubError."""
        for ack_ids in _in_batches([message.ack_id for message in messages]):
            with pubsub_errors(self._path):
                request = {"subscription": self._path, "ack_ids": ack_ids}
                self._client.acknowledge(request=request, timeout=RPC_TIMEOUT_SECONDS)
            for ack_id in ack_ids:
                del self._held[ack_id]

    def give_back(self) -> None:
        """Let everybody see again what is held. Raises PubSubError."""
        self._extend(list(self._held), 0)
        self._held.clear()

    def _extend(self, ack_ids: list[str], seconds: int) -> None:
        for batch in _in_batches(ack_ids):
            with pubsub_errors(self._path):
                request = {"subscription": self._path, "ack_ids": batch, "ack_deadline_seconds": seconds}
                self._client.modify_ack_deadline(request=request, timeout=RPC_TIMEOUT_SECONDS)


@contextmanager
def pubsub_errors(thing: str) -> Iterator[None]:
    """Turn what Google's client raises about `thing` (a resource's name) into PubSubError, one line."""
    try:
        yield
    except (GoogleAPICallError, RetryError, GoogleAuthError) as error:
        raise PubSubError(f"{thing}: {type(error).__name__}: {error}".replace("\n", " ")) from error


def _in_batches(ack_ids: list[str]) -> Iterator[list[str]]:
    return (ack_ids[start : start + MAX_ACK_IDS] for start in range(0, len(ack_ids), MAX_ACK_IDS))


def _pulled(received: ReceivedMessage) -> Pulled:
    raw = received.message
    message = Message(data=raw.data, attributes=dict(raw.attributes), ordering_key=raw.ordering_key)
    published_at = datetime.fromtimestamp(raw.publish_time.timestamp(), UTC)
    delivery = message.to_delivery(
        message_id=raw.message_id,
        published_at=published_at,
        delivery_attempt=received.delivery_attempt or None,
        max_body_bytes=MAX_BODY_BYTES,
    )
    return Pulled(ack_id=received.ack_id, message=message, delivery=delivery, published_at=published_at)
