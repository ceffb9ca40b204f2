"""Publishing with group commit: what waits for one RPC is published together by the next.

`PublisherClient` of google.cloud.pubsub batches by a timer and commits in a thread of its own, which costs a lone
webhook the timer and may never resolve its future. Here a waiting request does the work itself:

    a request may have an RPC     it leads: publishes all that waits with its ordering key, itself first, and answers
    it may not                    it waits; the leader that finishes publishes for it or makes it the next leader

Pub/Sub takes messages of one ordering key only in one request ("PubsubMessage", API reference; the emulator takes any).
So a request with a key may have an RPC while no other of its key does, which also keeps one order's events in order;
those without a key share a few.

No timer, no thread. Every request leaves with its own message id or with PublishError, at its deadline at the latest.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.errors import PublishError, PublishInvalid, PublishUnavailable
from relay.message import Message
from relay.pubsub.publish_rpc import PublishRpc

MAX_BATCH_BYTES = 9_800_000  # Pub/Sub refuses requests over 10 MB; the largest message (9.5 MB and attributes) fits.
MAX_BATCH_MESSAGES = 1_000  # Pub/Sub's limit.
MAX_WAITING_BYTES = 100_000_000  # Keeps what waits for a frozen Pub/Sub below the memory of a small instance.
MAX_CONCURRENT_RPCS = 64  # As many orders at once; they share a connection.
MAX_RPCS_WITHOUT_KEY = 4  # One RPC that hangs must not hold up the others.
MIN_ATTEMPT_SECONDS = 0.5  # With less left, an RPC to a slow but healthy Pub/Sub would only fail.
FIRST_BACKOFF_SECONDS = 0.05
LONGEST_BACKOFF_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Publisher(Protocol):
    """What the services need of Pub/Sub."""

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        """Return the message id once Pub/Sub has confirmed. Raises PublishError within `budget_seconds`."""
        ...


def _closed_latch() -> threading.Lock:
    latch = threading.Lock()
    latch.acquire()
    return latch


@dataclass(slots=True, eq=False)
class _Ticket:
    """One request's place in the queue. Written by leaders under the lock, read by its request once it is woken."""

    message: Message
    deadline: float
    size_bytes: int
    latch: "threading.Lock | None" = None  # Of those that wait; a tenth of what a threading.Event costs.
    leads: bool = False
    message_id: str | None = None
    error: PublishError | None = None

    @property
    def key(self) -> str:
        return self.message.ordering_key

    @property
    def is_settled(self) -> bool:
        return self.message_id is not None or self.error is not None

    def wake(self) -> None:
        """Let its request look again; under the publisher's lock."""
        if self.latch is not None and self.latch.locked():
            self.latch.release()


class _Queue:
    """Those that wait, in the order of their arrival. Under the publisher's lock."""

    def __init__(self) -> None:
        self._tickets: list[_Ticket] = []
        self._of_key: dict[str, int] = {}  # So that a key of which nobody waits is not looked for.

    def __iter__(self) -> Iterator[_Ticket]:
        return iter(tuple(self._tickets))

    def append(self, ticket: _Ticket) -> None:
        self._tickets.append(ticket)
        self._of_key[ticket.key] = self._of_key.get(ticket.key, 0) + 1

    def put_back(self, tickets: list[_Ticket]) -> None:
        """Put tickets, in their order, before all others."""
        self._tickets[:0] = tickets
        for ticket in tickets:
            self._of_key[ticket.key] = self._of_key.get(ticket.key, 0) + 1

    def remove(self, ticket: _Ticket) -> None:
        """Take a ticket out, if it is there."""
        try:
            self._tickets.remove(ticket)
        except ValueError:
            return
        self._count_down(ticket.key, 1)

    def take(self, tickets: Sequence[_Ticket]) -> None:
        """Take out tickets of one key, which are all there."""
        taken = set(tickets)
        self._tickets = [ticket for ticket in self._tickets if ticket not in taken]
        self._count_down(tickets[0].key, len(tickets))

    def _count_down(self, key: str, by: int) -> None:
        self._of_key[key] -= by
        if not self._of_key[key]:
            del self._of_key[key]

    def with_key(self, key: str) -> Sequence[_Ticket]:
        """Return those that wait with a key."""
        return [ticket for ticket in self._tickets if ticket.key == key] if key in self._of_key else ()


class GroupCommitPublisher:
    """Implements `Publisher`; safe for any number of threads or greenlets."""

    def __init__(
        self,
        rpc: PublishRpc,
        *,
        max_waiting: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`max_waiting` bounds the requests inside `publish`; `clock` and `sleep` are in seconds."""
        self._rpc = rpc
        self._max_waiting = max_waiting
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._queue = _Queue()
        self._rpcs: dict[str, int] = {}  # In flight, by ordering key.
        self._rpcs_in_all = 0
        self._waiting = 0
        self._waiting_bytes = 0

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        """See `Publisher.publish`."""
        ticket = _Ticket(message, self._clock() + budget_seconds, message.size_bytes)
        self._admit(ticket)
        if ticket.latch is not None:
            self._wait(ticket, ticket.latch)
        if ticket.leads:
            self._lead(ticket)
        if ticket.message_id is None:
            raise ticket.error or PublishError("Pub/Sub did not confirm within the budget")
        return ticket.message_id

    def _admit(self, ticket: _Ticket) -> None:
        with self._lock:
            waiting_bytes = self._waiting_bytes + ticket.size_bytes
            if self._waiting >= self._max_waiting or waiting_bytes > MAX_WAITING_BYTES:
                raise PublishError(f"{self._waiting} webhooks wait for Pub/Sub already; refused so that memory holds")
            self._waiting += 1
            self._waiting_bytes = waiting_bytes
            if self._may_lead(ticket):
                self._make_lead(ticket)
            else:
                ticket.latch = _closed_latch()
                self._queue.append(ticket)

    def _may_lead(self, ticket: _Ticket) -> bool:
        most = 1 if ticket.key else MAX_RPCS_WITHOUT_KEY
        return self._rpcs_in_all < MAX_CONCURRENT_RPCS and self._rpcs.get(ticket.key, 0) < most

    def _make_lead(self, ticket: _Ticket) -> None:
        self._rpcs[ticket.key] = self._rpcs.get(ticket.key, 0) + 1
        self._rpcs_in_all += 1
        ticket.leads = True
        ticket.wake()

    def _leave(self, ticket: _Ticket) -> None:
        """Under the lock."""
        self._waiting -= 1
        self._waiting_bytes -= ticket.size_bytes

    def _wait(self, ticket: _Ticket, latch: threading.Lock) -> None:
        """Wait until the ticket is settled, made the leader, or out of time."""
        try:
            latch.acquire(timeout=max(0.0, ticket.deadline - self._clock()))
        finally:
            with self._lock:
                if not ticket.leads:
                    self._leave(ticket)
                if not (ticket.leads or ticket.is_settled):
                    ticket.error = PublishError(
                        "Pub/Sub did not confirm within the budget: an earlier publish still runs"
                    )
                    self._queue.remove(ticket)

    def _lead(self, ticket: _Ticket) -> None:
        """Publish what waits, until this request has its answer; then hand the slot on."""
        backoff_seconds = FIRST_BACKOFF_SECONDS
        try:
            while True:
                self._publish_batch(self._take_batch(ticket), ticket.deadline)
                left = ticket.deadline - self._clock()
                if ticket.is_settled or left < backoff_seconds + MIN_ATTEMPT_SECONDS:
                    return
                self._sleep(backoff_seconds)
                backoff_seconds = min(2 * backoff_seconds, LONGEST_BACKOFF_SECONDS)
        finally:
            self._hand_on(ticket)

    def _take_batch(self, leader: _Ticket) -> list[_Ticket]:
        """Take the leader's message and as many of those that wait with its key as one request holds, in order."""
        with self._lock:
            batch, size_bytes = [leader], leader.size_bytes
            for ticket in self._queue.with_key(leader.key):
                size_bytes += ticket.size_bytes
                if size_bytes > MAX_BATCH_BYTES or len(batch) == MAX_BATCH_MESSAGES:
                    break
                batch.append(ticket)
            if len(batch) > 1:
                self._queue.take(batch[1:])
            return batch

    def _publish_batch(self, batch: list[_Ticket], deadline: float) -> None:
        """Publish a batch; one that Pub/Sub refuses is halved until the message at fault stands alone."""
        parts = [batch]
        while parts:
            part = parts.pop()
            try:
                timeout_seconds = max(0.001, deadline - self._clock())
                message_ids = self._rpc([ticket.message for ticket in part], timeout_seconds)
            except PublishInvalid as error:
                if len(part) == 1:
                    self._fail(part, error)
                    continue
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            except PublishUnavailable as error:
                self._put_back(batch[0], part, error)
            except Exception as error:  # noqa: BLE001 - credentials and channels fail in many ways; no waiter may hang
                self._fail(part, error)
            else:
                self._confirm(part, message_ids)

    def _confirm(self, tickets: list[_Ticket], message_ids: Sequence[str]) -> None:
        with self._lock:
            for ticket, message_id in zip(tickets, message_ids, strict=True):
                ticket.message_id = message_id
                ticket.wake()

    def _fail(self, tickets: Iterable[_Ticket], error: Exception) -> None:
        text = str(error) if isinstance(error, PublishError) else f"{type(error).__name__}: {error}"
        logger.error("Pub/Sub refused to store messages: %s", text)
        with self._lock:
            for ticket in tickets:
                ticket.error = PublishError(f"Pub/Sub refused: {text}")
                ticket.wake()

    def _put_back(self, leader: _Ticket, tickets: list[_Ticket], error: Exception) -> None:
        """Leave the tickets unsettled, so that the next attempt takes them; who is out of time leaves by itself."""
        logger.warning("Publishing %d messages failed, trying again: %s", len(tickets), error)
        with self._lock:
            others = [ticket for ticket in tickets if ticket is not leader and not ticket.is_settled]
            self._queue.put_back(others)

    def _hand_on(self, leader: _Ticket) -> None:
        """Let the first request lead that may and still has time for an RPC; settle those that have not."""
        with self._lock:
            self._leave(leader)
            if not leader.is_settled:
                leader.error = PublishError("Pub/Sub did not confirm within the budget")
            self._rpcs_in_all -= 1
            self._rpcs[leader.key] -= 1
            if not self._rpcs[leader.key]:
                del self._rpcs[leader.key]
            for ticket in self._queue:
                if ticket.deadline - self._clock() < MIN_ATTEMPT_SECONDS:
                    self._queue.remove(ticket)
                    ticket.error = PublishError("Pub/Sub did not confirm within the budget")
                    ticket.wake()
                elif self._may_lead(ticket):
                    self._queue.remove(ticket)
                    self._make_lead(ticket)
                    return
