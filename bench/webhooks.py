"""The requests that are sent: prepared and signed beforehand, each body different, the same for every contestant."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from relay import signature
from relay.signature import SignedString

HASH_KEY = b"test-key-of-the-benchmark"
PATH = "/webhooks/onestock/order_state_changed"
FIRST_DATE = 1735689600
LENGTH_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file of whole HTTP requests, and what identifies the bodies in it."""

    file: Path
    digests: frozenset[bytes]
    body_bytes: int

    @property
    def count(self) -> int:
        """How many requests there are, each different."""
        return len(self.digests)


def bodies(count: int, body_bytes: int) -> Iterable[bytes]:
    """Yield invented events of different orders, `body_bytes` long each (139 at least)."""
    for number in range(count):
        fields = {
            "order_id": f"ORD-{number:09}",
            "date": FIRST_DATE + number,
            "old_state": "placed",
            "new_state": "fulfilled",
            "note": "",
        }
        missing = body_bytes - len(json.dumps(fields))
        yield json.dumps({**fields, "note": "x" * missing}).encode()


def framed(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return one HTTP request behind its length, as the scripts for wrk read it."""
    fields = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    head = "\r\n".join([f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())])
    request = head.encode() + b"\r\n\r\n" + body
    return f"{len(request):0{LENGTH_DIGITS}}".encode() + request


def prepare_webhooks(file: Path, *, count: int, body_bytes: int) -> Prepared:
    """Write signed webhooks to `file`. Their signatures are good for hours."""
    timestamp = int(time.time())
    digests = set()
    with file.open("wb") as sink:
        for body in bodies(count, body_bytes):
            signed = signature.sign(
                body, keys=[HASH_KEY], timestamp=timestamp, signed_string=SignedString.TIMESTAMP_BODY
            )
            sink.write(framed(PATH, {signature.HEADER: signed}, body))
            digests.add(sha256(body).digest())
    return Prepared(file=file, digests=frozenset(digests), body_bytes=body_bytes)
