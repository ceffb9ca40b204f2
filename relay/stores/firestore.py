"""The store for production: Firestore, shared by all workers and kept when they end.

Each record is one document. A claim is one commit whose preconditions say what was read; Firestore's time of that
commit is the fencing token, and every later write of the holder demands that the document still has it. The first
claim of an event guesses that nobody has seen it, so that claiming costs one round trip, and so does completing.

Source: "Transaction serializability and isolation" and "Manage data retention with TTL policies" (Google Firestore
documentation): commit times of one document strictly increase; a TTL policy on `expires_at` removes what has expired.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore import Client, DocumentReference, LastUpdateOption, WriteBatch
from google.protobuf.timestamp_pb2 import Timestamp

from relay.errors import ClaimLost, StoreError
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Stale
from relay.stores.records import AnotherEvent, Record, judge

COLLECTION = "onestock_relay_runs"
RPC_TIMEOUT_SECONDS = 3
MAX_CONFLICTS = 5  # Rivals for one event: one of them has the claim by then.

# The document is not as it was read: it was made, changed or removed meanwhile.
_CONFLICTS = (exceptions.AlreadyExists, exceptions.FailedPrecondition, exceptions.NotFound, exceptions.Aborted)
_LOST = (exceptions.FailedPrecondition, exceptions.NotFound)
_RETRY = Retry(if_exception_type(exceptions.ServiceUnavailable), initial=0.1, maximum=1.0, timeout=RPC_TIMEOUT_SECONDS)
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """A record as it lies in Firestore."""

    record: Record
    holder: str
    """Made up for each claim, so that a claim is recognised whose confirmation was lost."""
    settled: int
    """The token that the last completion was written with."""
    version: int
    """The commit that wrote it, in nanoseconds since 1970."""


class FirestoreStore:
    """Implements `relay.stores.Store`; safe for any number of threads and processes."""

    def __init__(
        self,
        *,
        project: str,
        database: str,
        dateless_window_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives Unix seconds; FIRESTORE_EMULATOR_HOST is honoured by the client."""
        self._client = Client(project=project, database=database)
        self._dateless_window_seconds = dateless_window_seconds
        self._clock = clock

    def claim(self, request: ClaimRequest) -> Claim | Busy | Done | Stale:
        """See `Store.claim`."""
        with _store_errors():
            try:
                return self._claim(request)
            except AnotherEvent:
                return self._claim(request.by_event_alone())

    def complete(self, claim: Claim, completion: Completion, *, retention_seconds: float) -> None:
        """See `Store.complete`."""
        request = claim.request
        expires_at = self._clock() + retention_seconds
        ended = Record.ended(request, completion, expires_at=expires_at)
        batch = self._client.batch()
        for key in request.run_keys:
            batch.update(self._at(key), {**_fields_of(ended), "settled": claim.token}, _unchanged(claim.token))
        if request.sequence is not None:
            order: dict[str, Any] = {"held_until": None}
            if completion is Completion.HANDLED:
                order |= {"moment": request.sequence.moment, "expires_at": _moment(expires_at)}
            batch.update(self._at(request.sequence.key), order, _unchanged(claim.token))
        self._settle(claim, batch)

    def release(self, claim: Claim) -> None:
        """See `Store.release`."""
        batch = self._client.batch()
        for key in claim.request.all_keys:
            batch.update(self._at(key), {"held_until": None}, _unchanged(claim.token))
        self._settle(claim, batch)

    def _claim(self, request: ClaimRequest) -> Claim | Busy | Done | Stale:
        holder = uuid.uuid4().hex
        # Only an order's record is likely to exist already.
        known = {} if request.sequence is None else self._read(request)
        for _ in range(MAX_CONFLICTS):
            now = self._clock()
            records = {key: document.record for key, document in known.items()}
            refusal = judge(
                request,
                [records.get(key) for key in request.run_keys],
                records.get(request.sequence.key) if request.sequence else None,
                now=now,
                dateless_window_seconds=self._dateless_window_seconds,
            )
            if refusal is not None:
                return refusal
            try:
                return Claim(request=request, token=self._write_claim(request, holder, known, now))
            except _CONFLICTS:
                known = self._read(request)
            run = known.get(request.run_keys[0])
            if run is not None and run.holder == holder:
                return Claim(request=request, token=run.version)
        return Busy()

    def _settle(self, claim: Claim, batch: WriteBatch) -> None:
        with _store_errors():
            try:
                batch.commit(retry=_RETRY, timeout=RPC_TIMEOUT_SECONDS)
            except _LOST as error:
                # A commit whose confirmation was lost and that was sent again finds its own traces.
                document = self._read(claim.request).get(claim.request.run_keys[0])
                if document is None or document.settled != claim.token:
                    raise ClaimLost(
                        f"the claim on {claim.request.key} ended before its run did; the run is not recorded"
                    ) from error

    def _write_claim(self, request: ClaimRequest, holder: str, known: Mapping[str, _Document], now: float) -> int:
        batch = self._client.batch()
        for key in request.all_keys:
            before = known.get(key)
            record = Record.claimed(before.record if before else None, request, now)
            fields = {**_fields_of(record), "holder": holder}
            if before is None:
                batch.create(self._at(key), {**fields, "key": key, "settled": 0})
            else:
                batch.update(self._at(key), fields, _unchanged(before.version))
        written = batch.commit(retry=_RETRY, timeout=RPC_TIMEOUT_SECONDS)
        return _version_of(written[0].update_time)

    def _read(self, request: ClaimRequest) -> dict[str, _Document]:
        references = [self._at(key) for key in request.all_keys]
        snapshots = self._client.get_all(references, retry=_RETRY, timeout=RPC_TIMEOUT_SECONDS)
        documents = {}
        for snapshot in snapshots:
            fields = snapshot.to_dict()
            if fields is not None:
                documents[fields["key"]] = _document_of(fields, _version_of(snapshot.update_time))
        return documents

    def _at(self, key: str) -> DocumentReference:
        # Hashed, so that documents written after each other do not lie beside each other, and any name is an id.
        return self._client.collection(COLLECTION).document(hashlib.sha256(key.encode()).hexdigest())


def _fields_of(record: Record) -> dict[str, Any]:
    return {**asdict(record), "expires_at": _moment(record.expires_at)}


def _document_of(fields: Mapping[str, Any], version: int) -> _Document:
    completion = fields["completion"]
    record = Record(
        expires_at=fields["expires_at"].timestamp(),
        held_until=fields["held_until"],
        completion=None if completion is None else Completion(completion),
        generation=fields["generation"],
        received_at=fields["received_at"],
        event_id=fields["event_id"],
        is_synthetic=fields["is_synthetic"],
        moment=fields["moment"],
    )
    return _Document(record=record, holder=fields["holder"], settled=fields["settled"], version=version)


def _moment(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)


def _version_of(update_time: Any) -> int:
    """Return a commit time (Google's datetime with nanoseconds) as a number."""
    timestamp: Timestamp = update_time.timestamp_pb()
    return int(timestamp.seconds) * _NANOSECONDS + int(timestamp.nanos)


def _unchanged(version: int) -> LastUpdateOption:
    seconds, nanos = divmod(version, _NANOSECONDS)
    return LastUpdateOption(Timestamp(seconds=seconds, nanos=nanos))


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
        raise StoreError(f"Firestore does not answer: {type(error).__name__}: {error}") from error
