"""Pulling messages by hand, for commands: what is pulled stays held until it is acknowledged or given back.

Pub/Sub never says that a subscription is empty. It may answer a pull with nothing although there are messages ("The
system may return fewer messages, or none": `PullResponse`), and `return_immediately`, which asks for such answers, is
deprecated. So several pulls are open side by side, as "Pull subscriptions" recommends, and the subscription counts as
empty when a number of pulls in a row, over several seconds, brought nothing.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

from google.api_core.exceptions import DeadlineExceeded, PermissionDenied
from google.pubsub_v1 import ReceivedMessage, SubscriberClient

from relay.errors import PubSubError
from relay.events import Delivery
from relay.message import Message
from relay.pubsub.calls import CALL_SECONDS, RETRY, pubsub_errors

PULLS_AT_ONCE = 3
PULL_SECONDS = 2.5  # Pub/Sub holds a pull open while nothing is there.
PAUSE_SECONDS = 0.2  # After a pull that Pub/Sub answered at once with nothing.
EMPTY_PULLS = 6
QUIET_SECONDS = 4.5
RPC_TIMEOUT_SECONDS = 30  # To give up sooner leaves messages to come back.
HOLD_SECONDS = 600.0  # Pub/Sub's maximum.
FIRST_HOLD_SECONDS = 10.0  # The shortest acknowledgement deadline that a subscription can have.
MAX_PULLED = 1_000
MAX_ACK_IDS = 1_000  # A request holds 512 KB; an ack id has about 200 bytes.
MAX_BODY_BYTES = 32_000_000

HOLD_ENDED = "our hold on it ended, so that Pub/Sub may deliver it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """One message that is held: as it lies on the topic, and the event in it."""

    ack_id: str
    message: Message
    delivery: Delivery
    published_at: datetime


@dataclass(frozen=True, slots=True)
class _Hold:
    ack_id: str
    until: float


class PullSubscription:
    """A pull subscription (`projects/PROJECT/subscriptions/NAME`) and what we hold of it.

    In a `with` block, a thread renews the hold on each message; at the end, what is still held is given back.
    """

    def __init__(
        self,
        client: SubscriberClient,
        path: str,
        *,
        hold_seconds: float = HOLD_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` is in seconds. It must go on while the machine sleeps, since holds end meanwhile."""
        self._client = client
        self._path = path
        self._hold_seconds = hold_seconds
        self._clock = clock
        self._held: dict[str, _Hold] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._renewing = threading.Thread(target=self._renew_until_the_end, daemon=True)

    def __enter__(self) -> Self:
        self._renewing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._renewing.join()
        self.give_back()

    def pull_until_empty(
        self, *, pulls_at_once: int = PULLS_AT_ONCE, is_meant: Callable[[Pulled], bool] = lambda _: True
    ) -> Iterator[list[Pulled]]:
        """Yield all messages that nobody holds, and hold them, until no more come for which `is_meant` is true.

        Pub/Sub may deliver a message twice. Raises PubSubError.
        """
        self._check_answers()
        with ThreadPoolExecutor(pulls_at_once) as pool:
            pulls: set[Future[list[Pulled]]] = set()
            quiet_since, empty_pulls = time.monotonic(), 0
            while True:
                if empty_pulls < EMPTY_PULLS or time.monotonic() - quiet_since < QUIET_SECONDS:
                    pulls |= {pool.submit(self._pull) for _ in range(pulls_at_once - len(pulls))}
                if not pulls:
                    return
                ended, pulls = wait(pulls, return_when=FIRST_COMPLETED)
                for pulled in (pull.result() for pull in ended):
                    yield pulled
                    empty_pulls += 1
                    if any(map(is_meant, pulled)):
                        quiet_since, empty_pulls = time.monotonic(), 0

    def holds(self, message: Pulled) -> bool:
        """Return whether nobody else can have got `message` since it was pulled."""
        with self._lock:
            hold = self._held.get(message.delivery.message_id)
        return hold is not None and self._clock() < hold.until

    def acknowledge(self, messages: Sequence[Pulled]) -> dict[str, str]:
        """Remove for good the messages that we still hold.

        Return why a message stays or may come back, by its message id; empty if all are gone.
        """
        may_come_back: dict[str, str] = {}
        holds = self._holds_on(messages)
        for batch in _in_batches(list(holds.items())):
            try:
                with pubsub_errors(self._path):
                    request = {"subscription": self._path, "ack_ids": [hold.ack_id for _, hold in batch]}
                    self._client.acknowledge(request=request, timeout=RPC_TIMEOUT_SECONDS)
            except PubSubError as error:
                may_come_back |= {message_id: f"Pub/Sub did not confirm: {error}" for message_id, _ in batch}
                continue
            now = self._clock()
            may_come_back |= {message_id: HOLD_ENDED for message_id, hold in batch if now >= hold.until}
            self._forget(message_id for message_id, _ in batch)
        lost = {message.delivery.message_id for message in messages} - holds.keys()
        return may_come_back | dict.fromkeys(lost, HOLD_ENDED)

    def give_back(self, messages: Iterable[Pulled] | None = None) -> None:
        """Let everybody see `messages` again; without an argument, all that is held. Raises PubSubError."""
        with self._lock:
            held = dict(self._held)
        names = held.keys() if messages is None else {message.delivery.message_id for message in messages}
        holds = [(name, hold) for name, hold in held.items() if name in names]
        self._forget(name for name, _ in holds)
        self._set_deadline(holds, 0)

    def _check_answers(self) -> None:
        """Raise PubSubError if Pub/Sub is silent: a pull without an answer looks as if the subscription were empty."""
        request = {"subscription": self._path}
        # Whoever may only pull is refused here, which is an answer too.
        with pubsub_errors(self._path), suppress(PermissionDenied):
            self._client.get_subscription(request=request, retry=RETRY, timeout=CALL_SECONDS)

    def _pull(self) -> list[Pulled]:
        started, pulled_at = time.monotonic(), self._clock()
        request = {"subscription": self._path, "max_messages": MAX_PULLED}
        with pubsub_errors(self._path):
            try:
                received = self._client.pull(request=request, retry=None, timeout=PULL_SECONDS).received_messages
            except DeadlineExceeded:
                return []
        if not received and time.monotonic() - started < PAUSE_SECONDS:
            self._ending.wait(PAUSE_SECONDS)
        pulled = [_pulled(message) for message in received]
        until = pulled_at + FIRST_HOLD_SECONDS
        holds = {message.delivery.message_id: _Hold(message.ack_id, until) for message in pulled}
        with self._lock:
            self._held |= holds
        self._renew(list(holds.items()))
        return pulled

    def _renew_until_the_end(self) -> None:
        pause_seconds = self._hold_seconds / 4
        while not self._ending.wait(pause_seconds):
            now = self._clock()
            with self._lock:
                holds = [(name, hold) for name, hold in self._held.items() if now < hold.until]
            try:
                self._renew(holds)
                pause_seconds = self._hold_seconds / 4
            except PubSubError:
                # The holds have most of their time left. Where it runs out, `holds` and `acknowledge` say so.
                pause_seconds = self._hold_seconds / 20

    def _renew(self, holds: list[tuple[str, _Hold]]) -> None:
        until = self._clock() + self._hold_seconds
        self._set_deadline(holds, int(self._hold_seconds))
        with self._lock:
            now = self._clock()
            for name, hold in holds:
                # A confirmation that comes after the hold's end does not bring it back: somebody else may have it.
                if self._held.get(name) == hold and now < hold.until:
                    self._held[name] = replace(hold, until=until)

    def _set_deadline(self, holds: list[tuple[str, _Hold]], seconds: int) -> None:
        for batch in _in_batches(holds):
            ack_ids = [hold.ack_id for _, hold in batch]
            with pubsub_errors(self._path):
                request = {"subscription": self._path, "ack_ids": ack_ids, "ack_deadline_seconds": seconds}
                self._client.modify_ack_deadline(request=request, timeout=RPC_TIMEOUT_SECONDS)

    def _holds_on(self, messages: Sequence[Pulled]) -> dict[str, _Hold]:
        names = {message.delivery.message_id for message in messages}
        now = self._clock()
        with self._lock:
            return {name: hold for name in names if (hold := self._held.get(name)) and now < hold.until}

    def _forget(self, names: Iterable[str]) -> None:
        with self._lock:
            for name in names:
                self._held.pop(name, None)


def _in_batches(holds: list[tuple[str, _Hold]]) -> Iterator[list[tuple[str, _Hold]]]:
    return (holds[start : start + MAX_ACK_IDS] for start in range(0, len(holds), MAX_ACK_IDS))


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
