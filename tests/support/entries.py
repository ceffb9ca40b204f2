"""Entries as the services' canonical lines make them: what a webhook and a delivery of an invented event say."""

from datetime import UTC, datetime, timedelta
from typing import Any

from relay.investigation.entries import Entry

START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
"""Recent: of an event that has been silent for long, nobody says that it is being retried."""


def id_of(number: int) -> str:
    return f"{number:064x}"


def webhook(number: int, *, seconds: float = 0, order_id: str = "ORD-1", **fields: Any) -> Entry:
    labels = {"event_id": id_of(number), "event_type": "order_state_changed", "order_id": order_id}
    body = {"order_id": order_id, "old_state": "placed", "new_state": "picking"}
    told = {"line": "webhook", "outcome": "published", "status": 202, "message_id": "1", "content": body, **fields}
    return Entry(time=START + timedelta(seconds=seconds), fields=told, labels=labels, severity="INFO", trace_id="ab12")


def delivery(
    number: int, *, seconds: float = 1, outcome: str = "handled", reason: str = "", order_id: str = "ORD-1"
) -> Entry:
    run = {"name": "handlers.orders.follow_order", "outcome": outcome, "latency_ms": 3.5, "reason": reason}
    status = 204 if outcome in ("handled", "duplicate", "quarantined") else 503
    told = {"line": "delivery", "outcome": outcome, "status": status, "delivery_attempt": 1, "handlers": [run]}
    labels = {"event_id": id_of(number), "event_type": "order_state_changed", "order_id": order_id}
    return Entry(time=START + timedelta(seconds=seconds), fields=told, labels=labels, severity="INFO")


def refused(number: int) -> Entry:
    told = {"line": "webhook", "outcome": "refused", "status": 401, "reason": "no signature"}
    return Entry(time=START + timedelta(seconds=number), fields=told, labels={}, severity="WARNING")
