"""Claims that a silent store may hold in this process's name although no run belongs to them. No I/O."""

import threading
import time
from collections.abc import Callable

from relay.stores import ClaimRequest

SECONDS_BETWEEN_CHECKS = 1.0  # A commit that timed out may be applied a little later; asking more often costs reads.


class AbandonedClaims:
    """Remembers each such claim for its lease, after which nobody believes in it any more."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, tuple[float, ClaimRequest]] = {}
        self._checked_at = float("-inf")

    def add(self, holder: str, request: ClaimRequest) -> None:
        """Remember that nobody runs under the claim of this name."""
        with self._lock:
            self._until[holder] = (self._clock() + request.lease_seconds, request)

    def has(self, holder: str) -> bool:
        """Return whether nobody runs under the claim of this name."""
        return holder in self._until

    def due(self) -> list[tuple[str, ClaimRequest]]:
        """Return the claims to give back, at most once a second."""
        if not self._until:
            return []
        with self._lock:
            now = self._clock()
            if now - self._checked_at < SECONDS_BETWEEN_CHECKS:
                return []
            self._checked_at = now
            self._until = {holder: entry for holder, entry in self._until.items() if entry[0] > now}
            return [(holder, request) for holder, (_, request) in self._until.items()]
