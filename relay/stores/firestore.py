"""The store for production: Firestore, shared by all workers and kept when they end.

Each record is one document. A claim is one commit whose preconditions say what was read; Firestore's time of that
commit is the fencing token, and every later write of the holder demands that the document still has it. The first
claim of an event guesses that no other delivery has claimed it, so that claiming costs one round trip, and so does
completing.

A commit that failed may have been applied all the same. The store then reads what became of it, and knows its own
writes by a name that it made up for the claim. Leases are measured by Firestore's clock, never by a worker's.

Source: "Transaction serializability and isolation" and "Manage data retention with TTL policies" (Google Firestore
documentation): commit times of one document strictly increase; a TTL policy on `expires_at` removes what has expired.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore import Client, DocumentReference, WriteBatch

from relay.errors import ClaimLost, StoreError
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Stale
from relay.stores.abandoned import AbandonedClaims
from relay.stores.firestore_documents import FREE, StoredRecord, fields_of, id_of, moment_of, unchanged, version_of
from relay.stores.records import AnotherEvent, Record, ended_beside, judge

COLLECTION = "onestock_relay_runs"
RPC_TIMEOUT_SECONDS = 3
MAX_COMMITS = 5  # Of one claim, or of its end: with as many rivals, one of them has the claim by then.
LONGEST_PAUSE_SECONDS = 0.2  # Rivals that Firestore told to try again must not meet again at once.

_UNSURE = (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError)
_LOST = (exceptions.FailedPrecondition, exceptions.NotFound)
_RETRY = Retry(if_exception_type(exceptions.ServiceUnavailable), initial=0.1, maximum=1.0, timeout=RPC_TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True)
class _View:
    """What Firestore holds of one claim's records."""

    stored: Mapping[str, StoredRecord] = field(default_factory=dict)
    now: float = 0.0
    """When it was so, in Unix seconds by Firestore's clock."""

    def record(self, key: str) -> Record | None:
        stored = self.stored.get(key)
        return None if stored is None else stored.record


class FirestoreStore:
    """Implements `relay.stores.Store`; safe for any number of threads and processes."""

    def __init__(
        self,
        *,
        project: str,
        database: str,
        dateless_window_seconds: float,
        clock: Callable[[], float] = time.time,
        lease_clock: Callable[[datetime], float] = datetime.timestamp,
    ) -> None:
        """`clock` gives Unix seconds and says when a record may be removed; a minute's error of it does no harm.

        `lease_clock` reads Firestore's own time as Unix seconds; a test lets time pass by it. The client honours
        FIRESTORE_EMULATOR_HOST.
        """
        self._client = Client(project=project, database=database)
        self._dateless_window_seconds = dateless_window_seconds
        self._clock = clock
        self._lease_clock = lease_clock
        self._abandoned = AbandonedClaims()

    def claim(self, request: ClaimRequest) -> Claim | Busy | Done | Stale:
        """See `Store.claim`."""
        with _store_errors():
            try:
                answer = self._claim(request)
            except AnotherEvent:
                answer = self._claim(request.by_event_alone())
        if isinstance(answer, Claim):
            self._give_back_abandoned()
        return answer

    def complete(self, claim: Claim, completion: Completion, *, retention_seconds: float) -> None:
        """See `Store.complete`."""
        request = claim.request
        expires_at = self._clock() + retention_seconds
        ended = fields_of(Record.ended(claim, completion, expires_at=expires_at), lease_seconds=None)
        batch = self._client.batch()
        for key in request.run_keys:
            batch.update(self._at(key), {**ended, "settled": claim.holder}, unchanged(claim.token))
        if request.sequence is not None:
            order: dict[str, Any] = {**FREE, "settled": claim.holder}
            if completion is Completion.HANDLED:
                order |= {"moment": request.sequence.moment, "expires_at": moment_of(expires_at)}
            batch.update(self._at(request.sequence.key), order, unchanged(claim.token))
        with _store_errors():
            self._settle(claim, batch)

    def release(self, claim: Claim) -> None:
        """See `Store.release`."""
        batch = self._client.batch()
        for key in claim.request.all_keys:
            batch.update(self._at(key), {**FREE, "settled": claim.holder}, unchanged(claim.token))
        try:
            with _store_errors():
                self._settle(claim, batch)
        except StoreError:
            self._abandoned.add(claim.holder, claim.request)
            raise

    def holds(self, claim: Claim, *, for_seconds: float) -> bool:
        """See `Store.holds`."""
        key = claim.request.run_keys[0]
        with _store_errors():
            view = self._read([key])
        stored = view.stored.get(key)
        return stored is not None and stored.version == claim.token and stored.record.is_held(view.now + for_seconds)

    def _claim(self, request: ClaimRequest) -> Claim | Busy | Done | Stale:
        holder = uuid.uuid4().hex
        # Only an order's record is likely to exist already.
        view = _View() if request.sequence is None else self._read(request.all_keys)
        try:
            for _ in range(MAX_COMMITS):
                refusal = self._judge(request, view)
                if refusal is not None:
                    return refusal
                try:
                    token = self._commit_claim(request, holder, view)
                except _UNSURE as error:
                    _pause_if_contended(error)
                    view = self._read(request.all_keys)
                else:
                    return self._granted(request, holder, view, token)
                run = view.stored.get(request.run_keys[0])
                if run is not None and run.holder == holder:
                    return self._granted(request, holder, view, run.version)
        except _UNSURE:
            # The commit may have been applied, and nobody will run under this claim.
            self._abandoned.add(holder, request)
            raise
        self._abandoned.add(holder, request)
        return Busy()

    def _judge(self, request: ClaimRequest, view: _View) -> Busy | Done | Stale | None:
        return judge(
            request,
            [view.record(key) for key in request.run_keys],
            view.record(request.sequence.key) if request.sequence else None,
            now=view.now,
            dateless_window_seconds=self._dateless_window_seconds,
        )

    def _granted(self, request: ClaimRequest, holder: str, view: _View, token: int) -> Claim:
        """Return the claim. `view` may be from before its commit or after: claiming changes no ended run."""
        run, window_seconds = view.record(request.run_keys[0]), self._dateless_window_seconds
        beside = ended_beside(request, run, now=view.now, dateless_window_seconds=window_seconds)
        return Claim(request=request, token=token, holder=holder, ended_beside=beside)

    def _commit_claim(self, request: ClaimRequest, holder: str, view: _View) -> int:
        now = max(view.now, self._clock())
        batch = self._client.batch()
        for key in request.all_keys:
            before = view.stored.get(key)
            record = Record.claimed(before.record if before else None, request, now)
            fields = {**fields_of(record, lease_seconds=request.lease_seconds), "holder": holder}
            if before is None:
                batch.create(self._at(key), {**fields, "key": key, "settled": ""})
            else:
                batch.update(self._at(key), fields, unchanged(before.version))
        written = batch.commit(retry=_RETRY, timeout=RPC_TIMEOUT_SECONDS)
        return version_of(written[0].update_time)

    def _settle(self, claim: Claim, batch: WriteBatch) -> None:
        """Commit the end of a claim. The same commit is sent again while its fate is unknown."""
        for attempt in range(1, MAX_COMMITS + 1):
            try:
                batch.commit(retry=_RETRY, timeout=RPC_TIMEOUT_SECONDS)
            except _UNSURE as error:
                _pause_if_contended(error)
                if self._is_settled(claim):
                    return
                if isinstance(error, _LOST):
                    raise ClaimLost(
                        f"the claim on {claim.request.key} ended before its run did; the run is not recorded"
                    ) from error
                if attempt == MAX_COMMITS or not isinstance(error, exceptions.Aborted):
                    raise
            else:
                return

    def _is_settled(self, claim: Claim) -> bool:
        key = claim.request.run_keys[0]
        stored = self._read([key]).stored.get(key)
        return stored is not None and stored.settled == claim.holder

    def _give_back_abandoned(self) -> None:
        """Release the claims that an earlier silence of Firestore has left behind, now that it answers."""
        for holder, request in self._abandoned.due():
            with suppress(*_UNSURE):  # It is due again, until its lease ends.
                self._give_back(holder, request)

    def _give_back(self, holder: str, request: ClaimRequest) -> None:
        stored = self._read(request.all_keys, frees_abandoned=False).stored.values()
        held = [each for each in stored if each.holder == holder and each.record.held_until is not None]
        if not held:
            return
        batch = self._client.batch()
        for each in held:
            batch.update(self._at(each.key), FREE, unchanged(each.version))
        batch.commit(retry=_RETRY, timeout=RPC_TIMEOUT_SECONDS)

    def _read(self, keys: Iterable[str], *, frees_abandoned: bool = True) -> _View:
        """Return what Firestore holds under `keys`. A claim that this process has abandoned counts as free."""
        references = [self._at(key) for key in keys]
        found, now = {}, 0.0
        for snapshot in self._client.get_all(references, retry=_RETRY, timeout=RPC_TIMEOUT_SECONDS):
            now = max(now, self._lease_clock(snapshot.read_time))
            stored = StoredRecord.of(snapshot, self._lease_clock)
            if stored is not None:
                is_free = frees_abandoned and self._abandoned.has(stored.holder)
                found[stored.key] = stored.freed() if is_free else stored
        return _View(found, now)

    def _at(self, key: str) -> DocumentReference:
        return self._client.collection(COLLECTION).document(id_of(key))


def _pause_if_contended(error: Exception) -> None:
    if isinstance(error, exceptions.Aborted):
        time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))  # noqa: S311 - spreads rivals, hides nothing


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except _UNSURE as error:
        raise StoreError(f"Firestore does not answer: {type(error).__name__}: {error}") from error
