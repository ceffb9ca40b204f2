"""FastAPI with the asyncio generated client, doing the receiver's job: what a good engineer would build instead.

It checks the signature, gives each event its id, attributes and ordering key, waits for Pub/Sub within a budget, and
writes a JSON line with the content for each webhook.
"""

import asyncio
import hmac
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from random import getrandbits

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.pubsub_v1 import PublisherAsyncClient, PubsubMessage

TOPIC_PATH = os.environ["BENCH_TOPIC_PATH"]
HASH_KEYS = [key.encode() for key in os.environ["ONESTOCK_HASH_KEYS"].split(",")]
TOLERANCE_SECONDS = 21_600
BUDGET_SECONDS = 10
ATTEMPT_SECONDS = 3


@asynccontextmanager
async def publishing(app: FastAPI) -> AsyncIterator[None]:
    """Make the client inside the event loop that it belongs to."""
    app.state.publisher = PublisherAsyncClient()
    yield


app = FastAPI(lifespan=publishing)


@app.post("/webhooks/onestock/{event_type}")
async def receive_webhook(event_type: str, request: Request) -> JSONResponse:
    """Check, publish, log, answer."""
    started = time.monotonic()
    body = await request.body()
    line = {"event_type": event_type, "content": body.decode(errors="replace")}
    if not is_signed(request.headers.get("onestock-signature", ""), body):
        return answer(401, {"error": "signature missing or wrong"}, line, started)
    event_id = line["event_id"] = sha256(b"%b\n%b" % (event_type.encode(), body)).hexdigest()
    message = PubsubMessage(
        data=body,
        attributes={
            "event_type": event_type,
            "event_id": event_id,
            "received_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "content_type": request.headers.get("content-type", ""),
            "traceparent": request.headers.get("traceparent")
            or f"00-{getrandbits(128):032x}-{getrandbits(64):016x}-00",
        },
        ordering_key=order_id_of(body),
    )
    try:
        async with asyncio.timeout(BUDGET_SECONDS):
            published = await app.state.publisher.publish(topic=TOPIC_PATH, messages=[message], timeout=ATTEMPT_SECONDS)
    except (GoogleAPICallError, RetryError, TimeoutError):
        return answer(503, {"error": "not stored, send it again"}, line, started)
    return answer(202, {"event_id": event_id, "message_id": published.message_ids[0]}, line, started)


def is_signed(header: str, body: bytes) -> bool:
    """Return whether one of our keys signed the body within the tolerance."""
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    timestamp = parts.pop("t", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    expected = [hmac.digest(key, b"%b.%b" % (timestamp.encode(), body), "sha256").hex() for key in HASH_KEYS]
    return any(hmac.compare_digest(known, given) for known in expected for given in parts.values())


def order_id_of(body: bytes) -> str:
    """Return the body's order id, empty where it has none."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(fields.get("order_id", "")) if isinstance(fields, dict) else ""


def answer(status: int, content: dict[str, str], line: dict[str, str], started: float) -> JSONResponse:
    """Write the webhook's line, and return its answer."""
    fields = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "severity": "INFO" if "message_id" in content else "ERROR",
        "message": f"Webhook {line['event_type']}: {status}",
        "status": status,
        "message_id": content.get("message_id"),
        "latency_ms": round((time.monotonic() - started) * 1000, 2),
        **line,
    }
    sys.stdout.write(f"{json.dumps(fields)}\n")
    return JSONResponse(content, status_code=status)
