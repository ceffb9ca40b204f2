"""How much the receiver holds at once: a bound on the webhooks and on the bytes of their bodies."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from relay.errors import Overloaded


class Place:
    """What one webhook takes of the bounds, until its answer is made."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.webhooks = 0
        self.body_bytes = 0

    def enter(self) -> None:
        """Count the webhook. Raises Overloaded if too many are under way."""
        self._admission.count(self, body_bytes=0)

    def add(self, body_bytes: int) -> None:
        """Count bytes of the body before they are read. Raises Overloaded if too many are under way."""
        self._admission.count(self, body_bytes=body_bytes)


class Admission:
    """Counts what is under way; safe for any number of threads.

    A body is in memory before its signature can be checked, so anybody could fill the memory of an instance by posting
    large bodies in parallel.
    """

    def __init__(self, *, max_webhooks: int, max_body_bytes: int) -> None:
        """`max_body_bytes` bounds the bodies of all webhooks together."""
        self._max_webhooks = max_webhooks
        self._max_body_bytes = max_body_bytes
        self._lock = threading.Lock()
        self._webhooks = 0
        self._body_bytes = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Give a place that holds nothing yet, and release in the end what it took."""
        place = Place(self)
        try:
            yield place
        finally:
            with self._lock:
                self._webhooks -= place.webhooks
                self._body_bytes -= place.body_bytes

    def count(self, place: Place, *, body_bytes: int) -> None:
        """Count `body_bytes` more for `place`, and the webhook itself the first time. Raises Overloaded."""
        with self._lock:
            is_new = not place.webhooks
            if is_new and self._webhooks >= self._max_webhooks:
                raise Overloaded(f"{self._webhooks} webhooks are under way already (MAX_WAITING_PUBLISHES)")
            if self._body_bytes + body_bytes > self._max_body_bytes:
                raise Overloaded(
                    f"bodies of {self._body_bytes} bytes are under way already, {body_bytes} more do not fit "
                    "(MAX_BYTES_UNDER_WAY)"
                )
            if is_new:
                self._webhooks += 1
                place.webhooks = 1
            self._body_bytes += body_bytes
            place.body_bytes += body_bytes
