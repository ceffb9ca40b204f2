"""How much the receiver holds at once: bounds on webhooks, on the bytes of their bodies, and on the time to send one.

Anybody can begin a request and send the rest of it slowly, or never. Such senders would hold all places for ever.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from relay.errors import Overloaded

BODY_SECONDS = 10.0  # OneStock gives up after 15 s, and the publish takes some of them.


class Place:
    """What one webhook takes of the bounds, until its answer is made."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.webhooks = 0
        self.body_bytes = 0
        self.is_lost = False
        """Whether its sender took longer than BODY_SECONDS for the body, and others needed the place."""

    def enter(self, hang_up: Callable[[], None]) -> None:
        """Count the webhook. Raises Overloaded if too many are under way.

        `hang_up` must end the reading of its body: it is called from another thread, if that takes too long.
        """
        self._admission.enter(self, hang_up)

    def add(self, body_bytes: int) -> None:
        """Count bytes of the body before they are read. Raises Overloaded if too many are under way."""
        self._admission.add(self, body_bytes)

    def keep(self) -> None:
        """Keep the place until the answer: the body is read."""
        self._admission.keep(self)


class Admission:
    """Counts what is under way; safe for any number of threads.

    A body is in memory before its signature can be checked, so anybody could fill the memory of an instance by posting
    large bodies in parallel.
    """

    def __init__(
        self,
        *,
        max_webhooks: int,
        max_body_bytes: int,
        body_seconds: float = BODY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_body_bytes` bounds the bodies of all webhooks together, `body_seconds` the time to send one of them."""
        self._max_webhooks = max_webhooks
        self._max_body_bytes = max_body_bytes
        self._body_seconds = body_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._webhooks = 0
        self._body_bytes = 0
        self._reading: dict[Place, tuple[float, Callable[[], None]]] = {}
        """The places whose body is not read yet, oldest first: until when it may be, and what ends the reading."""

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Give a place that holds nothing yet, and release in the end what it took."""
        place = Place(self)
        try:
            yield place
        finally:
            with self._lock:
                self._reading.pop(place, None)
                self._webhooks -= place.webhooks
                self._body_bytes -= place.body_bytes

    def enter(self, place: Place, hang_up: Callable[[], None]) -> None:
        """See `Place.enter`."""
        with self._lock:
            self._hang_up_on_the_late()
            if self._webhooks >= self._max_webhooks:
                raise Overloaded(f"{self._webhooks} webhooks are under way already (MAX_WAITING_PUBLISHES)")
            self._webhooks += 1
            place.webhooks = 1
            self._reading[place] = (self._clock() + self._body_seconds, hang_up)

    def add(self, place: Place, body_bytes: int) -> None:
        """See `Place.add`."""
        with self._lock:
            if self._body_bytes + body_bytes > self._max_body_bytes:
                raise Overloaded(
                    f"bodies of {self._body_bytes} bytes are under way already, {body_bytes} more do not fit "
                    "(MAX_BYTES_UNDER_WAY)"
                )
            self._body_bytes += body_bytes
            place.body_bytes += body_bytes

    def keep(self, place: Place) -> None:
        """See `Place.keep`."""
        with self._lock:
            self._reading.pop(place, None)

    def _hang_up_on_the_late(self) -> None:
        """Give the places of the late to others; their bytes stay counted until their threads have let go of them."""
        now = self._clock()
        for place, (until, hang_up) in list(self._reading.items()):
            if until > now:
                return
            del self._reading[place]
            self._webhooks -= place.webhooks
            place.webhooks, place.is_lost = 0, True
            hang_up()
