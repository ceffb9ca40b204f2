"""The store for one process: tests and the local run. What it remembers ends with the process."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from relay.errors import ClaimLost
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Stale
from relay.stores.records import AnotherEvent, Record, ended_beside, judge


class MemoryStore:
    """Implements `relay.stores.Store` in a dictionary under a lock."""

    def __init__(self, *, dateless_window_seconds: float, clock: Callable[[], float] = time.time) -> None:
        """`dateless_window_seconds`: see `relay.stores.records.judge`; `clock` gives Unix seconds."""
        self._dateless_window_seconds = dateless_window_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = itertools.count(1)
        self._records: dict[str, Record] = {}
        self._holders: dict[str, int] = {}
        self._expiries: list[tuple[float, str]] = []

    def claim(self, request: ClaimRequest) -> Claim | Busy | Done | Stale:
        """See `Store.claim`."""
        with self._lock:
            try:
                return self._claim(request)
            except AnotherEvent:
                return self._claim(request.by_event_alone())

    def complete(self, claim: Claim, completion: Completion, *, retention_seconds: float) -> None:
        """See `Store.complete`."""
        request = claim.request
        with self._lock:
            expires_at = self._forget_expired() + retention_seconds
            if self._is_settled(claim):
                return
            self._check_ours(claim)
            for key in request.run_keys:
                self._write(key, Record.ended(claim, completion, expires_at=expires_at))
            if request.sequence is not None:
                order = replace(self._records[request.sequence.key], held_until=None)
                if completion is Completion.HANDLED:
                    order = replace(order, moment=request.sequence.moment, expires_at=expires_at)
                self._write(request.sequence.key, order)

    def release(self, claim: Claim) -> None:
        """See `Store.release`."""
        with self._lock:
            self._forget_expired()
            self._check_ours(claim)
            for key in claim.request.all_keys:
                self._write(key, replace(self._records[key], held_until=None))

    def holds(self, claim: Claim, *, for_seconds: float) -> bool:
        """See `Store.holds`."""
        with self._lock:
            now = self._forget_expired()
            record = self._records.get(claim.request.run_keys[0])
            is_ours = self._holders.get(claim.request.run_keys[0]) == claim.token
            return is_ours and record is not None and record.is_held(now + for_seconds)

    def _claim(self, request: ClaimRequest) -> Claim | Busy | Done | Stale:
        now = self._forget_expired()
        runs = [self._records.get(key) for key in request.run_keys]
        order = self._records.get(request.sequence.key) if request.sequence else None
        window_seconds = self._dateless_window_seconds
        refusal = judge(request, runs, order, now=now, dateless_window_seconds=window_seconds)
        if refusal is not None:
            return refusal
        beside = ended_beside(request, runs[0], now=now, dateless_window_seconds=window_seconds)
        token = next(self._tokens)
        for key in request.all_keys:
            self._holders[key] = token
            self._write(key, Record.claimed(self._records.get(key), request, now))
        return Claim(request=request, token=token, ended_beside=beside)

    def _is_settled(self, claim: Claim) -> bool:
        key = claim.request.run_keys[0]
        return self._holders.get(key) == claim.token and self._records[key].held_until is None

    def _check_ours(self, claim: Claim) -> None:
        if any(self._holders.get(key) != claim.token for key in claim.request.all_keys):
            raise ClaimLost(f"the claim on {claim.request.key} ended before its run did; the run is not recorded")

    def _write(self, key: str, record: Record) -> None:
        self._records[key] = record
        heapq.heappush(self._expiries, (record.expires_at, key))

    def _forget_expired(self) -> float:
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            expires_at, key = heapq.heappop(self._expiries)
            record = self._records.get(key)
            if record is not None and record.expires_at == expires_at:
                del self._records[key]
                self._holders.pop(key, None)
        return now
