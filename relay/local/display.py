"""The terminal of the local run: one line for each step of an event. No I/O: attempts and log lines in, text out."""

import json
from datetime import datetime
from typing import Any

from relay.local.customer import Received
from relay.local.simulator import Attempt, Status

_WIDTH = 13


def line(step: str, text: str) -> str:
    """Return one aligned line with the time of day."""
    return f"{datetime.now().astimezone():%H:%M:%S.%f}"[:-3] + f"  {step:<{_WIDTH}}{text}"


def attempt_lines(attempt: Attempt) -> list[str]:
    """Return what happened to one attempt of OneStock's."""
    lines = [line("sent", f"{attempt.event_type} {_about(attempt.body)}")]
    milliseconds = f"{attempt.latency_seconds * 1000:.1f} ms"
    if attempt.is_acknowledged:
        event_id = _object(attempt.answer).get("event_id", "")
        return [*lines, line("acknowledged", f"202 in {milliseconds}, event {event_id[:12]}")]
    answer = attempt.status or attempt.answer
    lines.append(line("not stored", f"attempt {attempt.number}: {answer} after {milliseconds}; OneStock tries again"))
    if attempt.webhook_status is Status.DISABLED:
        lines.append(line("disabled", f"OneStock gave up on {attempt.event_type}; it must be enabled by hand"))
    return lines


def hand_over_line(received: Received) -> str:
    """Return what the customer's system was given; its signature was right."""
    data = received.data
    if received.kind == "refund":
        what = f"{data['order_id']}: {data['quantity']:g} of {data['item_id']}, {data['state']}"
    else:
        what = f"{data['order_id']}: parcel {data['parcel_id']}, {data['tracking_code']}"
    again = ", again" if received.is_repeated else ""
    return line(received.kind, f"{what}; the customer's system has verified and taken it{again}")


def log_lines(text: str) -> list[str]:
    """Return what one line of a service's log tells about an event; nothing for what the simulator showed already."""
    entry = _object(text)
    if entry.get("line") == "delivery":
        return [_delivery_line(entry)]
    if entry.get("line") == "webhook":
        return []
    event_id = entry.get("logging.googleapis.com/labels", {}).get("event_id")
    if event_id and "message" in entry:
        return [line("", f"  {entry['message']}")]
    if entry.get("severity") in ("WARNING", "ERROR", "CRITICAL"):
        return [line(str(entry["severity"]).lower(), str(entry.get("message", "")))]
    return []


def _delivery_line(entry: dict[str, Any]) -> str:
    runs = entry.get("handlers", [])
    names = ", ".join(run["name"].removeprefix("handlers.") for run in runs)
    reasons = "; ".join(run["reason"] for run in runs if run.get("reason"))
    about = f"event {str(entry.get('event_id', ''))[:12]} in {entry.get('latency_ms', 0):.1f} ms by {names}"
    step = "dead letter" if entry["outcome"] == "quarantined" else str(entry["outcome"])
    return line(step, f"{about}: {reasons}" if reasons else about)


def _about(body: bytes) -> str:
    content = _object(body)
    names = ("order_id", "parcel_id", "import_id", "old_state", "new_state")
    return " ".join(str(content[name]) for name in names if name in content) or repr(body[:40])


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
