"""A record of the idempotency store as a Firestore document, and back. No I/O.

A document holds the length of a lease, not its end: the lease begins with the commit that wrote the document, by
Firestore's clock.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from google.cloud.firestore import DocumentSnapshot, LastUpdateOption
from google.protobuf.timestamp_pb2 import Timestamp

from relay.stores import Completion, EndedRun
from relay.stores.records import Record

FREE: dict[str, Any] = {"lease_seconds": None}
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record as Firestore holds it."""

    key: str
    record: Record
    holder: str
    """The name of the claim that wrote the record last; it recognises a claim whose confirmation was lost."""
    settled: str
    """The name of the claim that was completed or released last."""
    version: int
    """The commit that wrote the document, in nanoseconds since 1970 by Firestore's clock: the fencing token."""

    @classmethod
    def of(cls, snapshot: DocumentSnapshot[Any], lease_clock: Callable[[datetime], float]) -> Self | None:
        """Return the record in the document, None if the document does not exist. `lease_clock` reads commit times."""
        fields = snapshot.to_dict()
        if fields is None:
            return None
        lease_seconds = fields["lease_seconds"]
        record = Record(
            expires_at=fields["expires_at"].timestamp(),
            held_until=None if lease_seconds is None else lease_clock(snapshot.update_time) + lease_seconds,
            ended_runs=tuple(_ended_run_of(each) for each in fields["ended_runs"]),
            moment=fields["moment"],
        )
        return cls(
            key=fields["key"],
            record=record,
            holder=fields["holder"],
            settled=fields["settled"],
            version=version_of(snapshot.update_time),
        )

    def freed(self) -> Self:
        """Return the record as if nobody held it."""
        return replace(self, record=replace(self.record, held_until=None))


def _ended_run_of(fields: dict[str, Any]) -> EndedRun:
    return EndedRun(**{**fields, "completion": Completion(fields["completion"])})


def fields_of(record: Record, *, lease_seconds: float | None) -> dict[str, Any]:
    """Return the document's fields for `record`, which is held for `lease_seconds` from the commit on."""
    fields = {**asdict(record), "expires_at": moment_of(record.expires_at), "lease_seconds": lease_seconds}
    del fields["held_until"]
    return fields


def moment_of(unix_seconds: float) -> datetime:
    """Return a time as Firestore stores it."""
    return datetime.fromtimestamp(unix_seconds, UTC)


def id_of(key: str) -> str:
    """Return the document's id. Hashed: ids that rise would all go to one server, and a key may hold a slash."""
    return hashlib.sha256(key.encode()).hexdigest()


def version_of(update_time: Any) -> int:
    """Return a commit time (Google's datetime with nanoseconds) as a number."""
    timestamp: Timestamp = update_time.timestamp_pb()
    return int(timestamp.seconds) * _NANOSECONDS + int(timestamp.nanos)


def unchanged(version: int) -> LastUpdateOption:
    """Return the precondition that the document was not written since."""
    seconds, nanos = divmod(version, _NANOSECONDS)
    return LastUpdateOption(Timestamp(seconds=seconds, nanos=nanos))
