"""The store for one process: tests and the local run. What it remembers ends with the process."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from relay.errors import ClaimLost
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Stale
from relay.stores.records import Record, judge


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
            now = self._forget_expired()
            run = self._records.get(request.key)
            order = self._records.get(request.sequence.key) if request.sequence else None
            refusal = judge(request, run, order, now=now, dateless_window_seconds=self._dateless_window_seconds)
            if refusal is not None:
                return refusal
            token = self._holders[request.key] = next(self._tokens)
            self._write(request.key, Record.claimed(run, request, now))
            if request.sequence is not None:
                self._write(request.sequence.key, Record.claimed(order, request, now))
            return Claim(request=request, token=token)

    def complete(self, claim: Claim, completion: Completion, *, retention_seconds: float) -> None:
        """See `Store.complete`."""
        request = claim.request
        with self._lock:
            expires_at = self._forget_expired() + retention_seconds
            run = self._own(claim)
            if run.held_until is None:
                return
            ended = Record(
                expires_at=expires_at,
                completion=completion,
                generation=request.generation,
                received_at=request.received_at,
            )
            self._write(request.key, ended)
            if request.sequence is not None:
                order = replace(self._records[request.sequence.key], held_until=None)
                if completion is Completion.HANDLED:
                    order = replace(order, moment=request.sequence.moment, expires_at=expires_at)
                self._write(request.sequence.key, order)

    def release(self, claim: Claim) -> None:
        """See `Store.release`."""
        with self._lock:
            self._forget_expired()
            self._write(claim.request.key, replace(self._own(claim), held_until=None))
            if claim.request.sequence is not None:
                key = claim.request.sequence.key
                self._write(key, replace(self._records[key], held_until=None))

    def _own(self, claim: Claim) -> Record:
        record = self._records.get(claim.request.key)
        if record is None or self._holders[claim.request.key] != claim.token:
            raise ClaimLost(f"the claim on {claim.request.key} ended before its run did; the run is not recorded")
        return record

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
