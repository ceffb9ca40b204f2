"""The requests that are sent: prepared and signed beforehand, each body different, the same for every contestant."""

import base64
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from relay.events import event_id_of
from relay.receiver import signature
from relay.settings.receiver import SignedString

PROJECT = "bench-relay"
HASH_KEY = b"test-key-of-the-benchmark"
EVENT_TYPE = "order_state_changed"
WEBHOOK_PATH = f"/webhooks/onestock/{EVENT_TYPE}"
PUSH_PATH = "/pubsub/push"
BODY_BYTES = 200
FIRST_DATE = 1735689600
LENGTH_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file of whole HTTP requests to one path, each behind its length, as the scripts for wrk read it."""

    file: Path
    path: str

    @property
    def first(self) -> bytes:
        """The first request."""
        data = self.file.read_bytes()
        return data[LENGTH_DIGITS : LENGTH_DIGITS + int(data[:LENGTH_DIGITS])]


def bodies(numbers: Iterable[int]) -> Iterator[bytes]:
    """Yield an invented event for each number, each of another order."""
    for number in numbers:
        fields = {
            "order_id": f"ORD-{number:09}",
            "date": FIRST_DATE + number,
            "old_state": "placed",
            "new_state": "fulfilled",
            "note": "",
        }
        yield json.dumps({**fields, "note": "x" * (BODY_BYTES - len(json.dumps(fields)))}).encode()


def webhooks(file: Path, *, count: int) -> Prepared:
    """Write signed webhooks; their signatures are good for hours."""
    now = int(time.time())

    def request(body: bytes) -> bytes:
        signed = signature.sign(body, keys=[HASH_KEY], timestamp=now, signed_string=SignedString.TIMESTAMP_BODY)
        return _request("POST", WEBHOOK_PATH, {signature.HEADER: signed}, body)

    return _written(file, WEBHOOK_PATH, map(request, bodies(range(count))))


def pushes(file: Path, *, numbers: range, token: str) -> Prepared:
    """Write what Pub/Sub would push: the events in envelopes, under a bearer token."""
    received_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    headers = {"Authorization": f"Bearer {token}"}
    envelopes = (_envelope(body, number, received_at) for number, body in zip(numbers, bodies(numbers), strict=True))
    return _written(file, PUSH_PATH, (_request("POST", PUSH_PATH, headers, envelope) for envelope in envelopes))


def gets(file: Path) -> Prepared:
    """Write one GET of `/`, which the emulator answers at once."""
    return _written(file, "/", [_request("GET", "/", {}, b"")])


def _envelope(body: bytes, number: int, received_at: str) -> bytes:
    """Return what Pub/Sub pushes for a webhook that the receiver published."""
    message = {
        "data": base64.b64encode(body).decode(),
        "attributes": {
            "event_type": EVENT_TYPE,
            "event_id": event_id_of(EVENT_TYPE, body),
            "received_at": received_at,
            "content_type": "application/json",
            "traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01",
        },
        "messageId": str(number + 1),
        "publishTime": received_at,
    }
    subscription = f"projects/{PROJECT}/subscriptions/onestock-events-push"
    return json.dumps({"message": message, "subscription": subscription, "deliveryAttempt": 1}).encode()


def _request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())])
    return head.encode() + b"\r\n\r\n" + body


def _written(file: Path, path: str, requests: Iterable[bytes]) -> Prepared:
    with file.open("wb") as sink:
        for request in requests:
            sink.write(f"{len(request):0{LENGTH_DIGITS}}".encode() + request)
    return Prepared(file=file, path=path)
