"""The requests that are sent: prepared and signed beforehand, each body different, the same for every contestant."""

import base64
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from relay.events import event_id_of
from relay.receiver import signature
from relay.settings.receiver import SignedString

HASH_KEY = b"test-key-of-the-benchmark"
EVENT_TYPE = "order_state_changed"
WEBHOOK_PATH = f"/webhooks/onestock/{EVENT_TYPE}"
PUSH_PATH = "/pubsub/push"
MAX_FILE_BYTES = 100_000_000  # wrk holds it all; beyond that, requests are repeated.
FIRST_DATE = 1735689600
LENGTH_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file of whole HTTP requests to one path, and what identifies the bodies in it."""

    file: Path
    path: str
    body_bytes: int
    digests: frozenset[bytes]
    """SHA-256 of each event's body."""


def webhooks(file: Path, *, count: int, body_bytes: int, id_field: str = "order_id") -> Prepared:
    """Write signed webhooks to `file`; the signatures are good for hours. Large ones are fewer than `count`.

    `id_field` names the field that tells the events apart; with any other than `order_id` they belong to no order.
    """
    timestamp = int(time.time())

    def requests() -> Iterator[tuple[bytes, bytes]]:
        for body in _bodies(range(min(count, MAX_FILE_BYTES // body_bytes)), body_bytes, id_field):
            signed = signature.sign(
                body, keys=[HASH_KEY], timestamp=timestamp, signed_string=SignedString.TIMESTAMP_BODY
            )
            yield body, _framed(WEBHOOK_PATH, {signature.HEADER: signed}, body)

    return _written(file, WEBHOOK_PATH, body_bytes, requests())


def pushes(file: Path, *, first: int, count: int, body_bytes: int, token: str) -> Prepared:
    """Write what Pub/Sub would push: the events number `first` and up in envelopes, under a bearer token."""
    received_at = datetime.now(UTC).isoformat(timespec="milliseconds")

    def requests() -> Iterator[tuple[bytes, bytes]]:
        for number, body in enumerate(_bodies(range(first, first + count), body_bytes, "order_id"), start=first):
            envelope = _envelope(body, number, received_at)
            yield body, _framed(PUSH_PATH, {"Authorization": f"Bearer {token}"}, envelope)

    return _written(file, PUSH_PATH, body_bytes, requests())


def _bodies(numbers: Iterable[int], body_bytes: int, id_field: str) -> Iterator[bytes]:
    """Yield invented events, each of another order, `body_bytes` long each (about 150 at least)."""
    for number in numbers:
        fields = {
            id_field: f"ORD-{number:09}",
            "date": FIRST_DATE + number,
            "old_state": "placed",
            "new_state": "fulfilled",
            "note": "",
        }
        missing = body_bytes - len(json.dumps(fields))
        yield json.dumps({**fields, "note": "x" * missing}).encode()


def _envelope(body: bytes, number: int, received_at: str) -> bytes:
    attributes = {
        "event_type": EVENT_TYPE,
        "event_id": event_id_of(EVENT_TYPE, body),
        "received_at": received_at,
        "content_type": "application/json",
        "traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01",
    }
    message = {
        "data": base64.b64encode(body).decode(),
        "attributes": attributes,
        "messageId": str(number + 1),
        "message_id": str(number + 1),
        "publishTime": received_at,
        "publish_time": received_at,
    }
    subscription = "projects/bench-relay/subscriptions/onestock-events-push"
    return json.dumps({"message": message, "subscription": subscription, "deliveryAttempt": 1}).encode()


def _framed(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return one HTTP request behind its length, as the scripts for wrk read it."""
    fields = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    head = "\r\n".join([f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())])
    request = head.encode() + b"\r\n\r\n" + body
    return f"{len(request):0{LENGTH_DIGITS}}".encode() + request


def _written(file: Path, path: str, body_bytes: int, requests: Iterable[tuple[bytes, bytes]]) -> Prepared:
    digests = set()
    with file.open("wb") as sink:
        for body, request in requests:
            sink.write(request)
            digests.add(sha256(body).digest())
    return Prepared(file=file, path=path, body_bytes=body_bytes, digests=frozenset(digests))
