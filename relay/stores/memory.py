"""The store for one process: tests and the local run. What it remembers ends with the process."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from relay.errors import ClaimLost
from relay.stores import Busy, Claim, Completion, Done


@dataclass(frozen=True, slots=True)
class _Record:
    token: int
    generation: int
    completion: Completion | None
    """None while the run is claimed."""
    expires_at: float


class MemoryStore:
    """Implements `relay.stores.Store` in a dictionary under a lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds from any start, never backwards."""
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = itertools.count(1)
        self._records: dict[str, _Record] = {}
        self._expiries: list[tuple[float, str]] = []

    def claim(self, key: str, *, generation: int, reruns_completed: bool, lease_seconds: float) -> Claim | Busy | Done:
        """See `Store.claim`."""
        with self._lock:
            self._forget_expired()
            record = self._records.get(key)
            if record is not None:
                if record.completion is None:
                    return Busy()
                may_run_again = record.completion is Completion.REJECTED or reruns_completed
                if not (may_run_again and generation > record.generation):
                    return Done(record.completion)
            claim = Claim(key=key, token=next(self._tokens), generation=generation)
            self._remember(claim, None, lease_seconds)
            return claim

    def complete(self, claim: Claim, completion: Completion, *, retention_seconds: float) -> None:
        """See `Store.complete`."""
        with self._lock:
            self._check_holder(claim)
            self._remember(claim, completion, retention_seconds)

    def release(self, claim: Claim) -> None:
        """See `Store.release`."""
        with self._lock:
            self._check_holder(claim)
            del self._records[claim.key]

    def _check_holder(self, claim: Claim) -> None:
        self._forget_expired()
        record = self._records.get(claim.key)
        if record is None or record.token != claim.token or record.completion is not None:
            raise ClaimLost(f"claim {claim.token} on {claim.key} ended before its run did; the run is not recorded")

    def _remember(self, claim: Claim, completion: Completion | None, seconds: float) -> None:
        expires_at = self._clock() + seconds
        self._records[claim.key] = _Record(claim.token, claim.generation, completion, expires_at)
        heapq.heappush(self._expiries, (expires_at, claim.key))

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            expires_at, key = heapq.heappop(self._expiries)
            record = self._records.get(key)
            if record is not None and record.expires_at == expires_at:
                del self._records[key]
