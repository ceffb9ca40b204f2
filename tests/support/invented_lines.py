"""Log lines of invented events, in the shape in which receiver and worker print them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from relay.topology import MAX_DELIVERY_ATTEMPTS

FAILING = "handlers.parcels.bill_parcel"
_STATES = ("placed", "picking", "packed", "fulfilled")
_EVENTS_OF_AN_ORDER = 3
_FAILS_EVERY = 9
_DIES_EVERY = 90


@dataclass(frozen=True, slots=True)
class InventedEvent:
    """The event with this number. Every ninth fails twice at first; every ninetieth becomes a dead letter."""

    number: int
    received_at: datetime

    @property
    def event_id(self) -> str:
        return hashlib.sha256(f"invented {self.number}".encode()).hexdigest()

    @property
    def order_id(self) -> str:
        return f"ORD-{100_001 + self.number // _EVENTS_OF_AN_ORDER}"

    @property
    def event_type(self) -> str:
        return "parcel_state_changed" if self.number % _FAILS_EVERY == 0 else "order_state_changed"

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the line of the webhook and that of each delivery."""
        yield self._webhook()
        if self.number % _FAILS_EVERY:
            yield self._delivery("handled", attempt=1)
            return
        yield self._delivery("failed", attempt=1)
        yield self._delivery("failed", attempt=2)
        if self.number % _DIES_EVERY:
            yield self._delivery("handled", attempt=3)
        else:
            yield self._delivery("failed", attempt=MAX_DELIVERY_ATTEMPTS)

    def _webhook(self) -> dict[str, Any]:
        old = self.number % _EVENTS_OF_AN_ORDER
        content = {"order_id": self.order_id, "date": int(self.received_at.timestamp())}
        content |= {"old_state": _STATES[old], "new_state": _STATES[old + 1]}
        latency_ms = 4 + self.number % 23
        own = {
            "line": "webhook",
            "outcome": "published",
            "message_id": str(self.number),
            "body_bytes": 93,
            "content": json.dumps(content),
            "message": f"Webhook {self.event_type}: published in {latency_ms} ms",
        }
        return own | self._common("receiver", self.received_at, status=202, latency_ms=latency_ms)

    def _delivery(self, outcome: str, *, attempt: int) -> dict[str, Any]:
        reason = {"reason": "ValueError: invented: the parcel has no weight"} if outcome == "failed" else {}
        latency_ms = 2 + self.number % 31
        age = timedelta(seconds=0.05 if attempt == 1 else 10 * attempt)
        own = {
            "line": "delivery",
            "outcome": outcome,
            "message_id": str(self.number),
            "delivery_attempt": attempt,
            "generation": 0,
            "age_ms": round(age / timedelta(milliseconds=1)),
            "handlers": [{"name": FAILING, "outcome": outcome, "latency_ms": latency_ms - 1, **reason}],
            "failed_handlers": [FAILING] if reason else [],
            "message": f"Delivery {self.event_type}: {outcome} in {latency_ms} ms",
        }
        status = 503 if reason else 204
        return own | self._common("worker", self.received_at + age, status=status, latency_ms=latency_ms)

    def _common(self, service: str, time: datetime, *, status: int, latency_ms: int) -> dict[str, Any]:
        of_event = {"event_type": self.event_type, "event_id": self.event_id, "order_id": self.order_id}
        prefix = "logging.googleapis.com"
        return of_event | {
            "time": time.isoformat(timespec="milliseconds"),
            "status": status,
            "latency_ms": latency_ms,
            "severity": "ERROR" if status == 503 else "INFO",
            f"{prefix}/labels": {"python_logger": f"relay.{service}.app", "service": service, **of_event},
            f"{prefix}/trace": f"projects/local-relay/traces/{self.event_id[:32]}",
            f"{prefix}/spanId": self.event_id[-16:],
            f"{prefix}/trace_sampled": False,
            f"{prefix}/sourceLocation": {
                "line": 189,
                "file": f"/app/relay/{service}/app.py",
                "function": "_write_line",
            },
            "httpRequest": {"requestMethod": "POST", "status": status, "latency": f"{latency_ms / 1000}s"},
        }


def invented_events(count: int, *, until: datetime | None = None, seconds_apart: float = 1) -> Iterator[InventedEvent]:
    """Yield so many events, oldest first; the newest arrived at `until`, which is this moment if it is None."""
    until = until or datetime.now(UTC)
    for number in range(count):
        yield InventedEvent(number, until - timedelta(seconds=seconds_apart * (count - number)))
