"""What the services' log lines, OneStock and the customer's system tell, in the words of the terminal. No I/O."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from relay.local.customer import Received
from relay.local.display import Shown
from relay.local.simulator import Attempt, Status
from relay.local.tracebacks import without_relay_frames
from relay.registry import only_catch_all_text, suggestion_for

Entry = dict[str, Any]

_LABELS = "logging.googleapis.com/labels"
_PROBLEMS = frozenset({"WARNING", "ERROR", "CRITICAL"})
_ROUTINE = frozenset({"handled", "duplicate", "stale", "busy"})
_MACHINERY = ("gunicorn", "relay", "werkzeug", "google")
ID_LENGTH = 12


def entry_of(text: str) -> Entry | None:
    """Return a log line's fields; None for a line that is no JSON object, such as a `print`."""
    content = _object(text)
    return content if content and "message" in content else None


class LogReader:
    """Tells what lines of the services' logs mean; each traceback once."""

    def __init__(self, *, max_delivery_attempts: int, package: str = "handlers") -> None:
        """`package` is left out of handlers' names."""
        self.outcomes: Counter[str] = Counter()
        """How many deliveries ended how."""
        self.settled = 0
        """How many deliveries were acknowledged."""
        self._max_delivery_attempts = max_delivery_attempts
        self._package = package
        self._tracebacks: set[str] = set()
        self._functions: Counter[str] = Counter()
        self._suggested: set[str] = set()

    def shown(self, text: str) -> list[Shown]:
        """Return what one line tells; nothing for gunicorn's own and for what another line says better."""
        entry = entry_of(text)
        if entry is None:
            # gunicorn's lines begin so until the service has configured its log.
            return [] if not text.strip() or text.startswith("[20") else [Shown("print", text)]
        match entry.get("line"):
            case "webhook":
                return [_webhook(entry)]
            case "delivery":
                return [self._delivery(entry)]
            case "handlers":
                return [self._loaded(entry)]
            case "given_up":
                return [self._given_up(entry)]
            case _:
                return self._logged(entry)

    def published(self, text: str) -> str | None:
        """Return the message id that one line of the receiver's says Pub/Sub has confirmed."""
        entry = entry_of(text)
        return entry.get("message_id") if entry and entry.get("line") == "webhook" else None

    def _loaded(self, entry: Entry) -> Shown:
        self._tracebacks.clear()
        self._functions = Counter(one["name"].rpartition(".")[2] for one in entry["handlers"])
        names = [
            f"{one['name'].removeprefix(self._package + '.')} ({', '.join(one['event_types'])})"
            for one in entry["handlers"]
        ]
        return Shown("loaded", f"{len(names)} handlers: {', '.join(names)}" if names else "no handler")

    def _logged(self, entry: Entry) -> list[Shown]:
        message, severity = str(entry["message"]), str(entry.get("severity", "INFO"))
        logger = str(entry.get(_LABELS, {}).get("python_logger", ""))
        if severity not in _PROBLEMS:
            return [] if logger.startswith(_MACHINERY) else [Shown("log", message, is_routine=True)]
        if "Traceback (most recent call last)" in message:
            # The error's own text may name the order; the same fault has the same frames.
            frames = "".join(line for line in message.splitlines() if line.startswith("  File "))
            if frames in self._tracebacks:
                return []
            self._tracebacks.add(frames)
        return [Shown(severity.lower(), without_relay_frames(message))]

    def _given_up(self, entry: Entry) -> Shown:
        attempts = f"used up {entry.get('delivery_attempt')} delivery attempts"
        return Shown(
            "dead letter", f"{_about(entry)}: {attempts}. Once the handler is mended: relay dead-letters redrive"
        )

    def _delivery(self, entry: Entry) -> Shown:
        outcome = str(entry["outcome"])
        self.outcomes[outcome] += 1
        self.settled += entry["status"] < 500  # noqa: PLR2004 - 5xx is a nack
        event_type = entry.get("event_type", "")
        if outcome == "unhandled":
            code = self._suggestion(event_type)
            paste = f". Put into {self._package}/:" if code else ""
            return Shown(outcome, f"{_about(entry)}: no handler{paste}", code=code)
        runs = entry.get("handlers", [])
        if not runs:
            return Shown(outcome, str(entry["message"]))
        step = "dead letter" if outcome == "quarantined" else outcome
        attempt = entry.get("delivery_attempt") or 1
        nth = f", attempt {attempt} of {self._max_delivery_attempts}" if attempt > 1 or entry["status"] >= 500 else ""  # noqa: PLR2004 - 5xx
        ends = ", ".join(self._ends(runs, attempt=attempt))
        text = f"{_about(entry)} {entry.get('latency_ms', 0):.0f} ms{nth}: {ends}"
        if not entry.get("only_catch_all"):
            return Shown(step, text, is_routine=outcome in _ROUTINE)
        code = self._suggestion(event_type)
        paste = f" To handle it, put into {self._package}/:" if code else ""
        return Shown(step, f"{text}; {only_catch_all_text(event_type)}{paste}", is_routine=not code, code=code)

    def _suggestion(self, event_type: str) -> str:
        """Return the handler to paste; nothing where it was shown before."""
        if event_type in self._suggested:
            return ""
        self._suggested.add(event_type)
        return suggestion_for(event_type)

    def _ends(self, runs: Sequence[Mapping[str, Any]], *, attempt: int) -> list[str]:
        """Return how each handler ended; in a later attempt only how many had succeeded before, beside the others."""
        open_ends = [run for run in runs if run["outcome"] != "duplicate"]
        done = len(runs) - len(open_ends)
        if attempt == 1 or not open_ends or not done:
            return [self._end(run) for run in runs]
        return [*map(self._end, open_ends), f"{done} other{'' if done == 1 else 's'} done"]

    def _end(self, run: Mapping[str, Any]) -> str:
        reason = f" ({run['reason']})" if run.get("reason") else ""
        outcome = "ok" if run["outcome"] == "handled" else run["outcome"]
        return f"{self._name(run['name'])} {outcome}{reason}"

    def _name(self, name: str) -> str:
        """Return the function's name alone where only one handler has it."""
        function = name.rpartition(".")[2]
        return function if self._functions[function] == 1 else name.removeprefix(f"{self._package}.")


def attempt_shown(attempt: Attempt) -> list[Shown]:
    """Return what OneStock makes of an attempt that was not acknowledged; the receiver tells of the others."""
    if attempt.is_acknowledged:
        return []
    answer = attempt.status or attempt.answer
    milliseconds = f"{attempt.latency_seconds * 1000:.0f} ms"
    shown = [
        Shown(
            "not stored",
            f"{attempt.event_type} {_changed(_object(attempt.body))}: attempt {attempt.number}, {answer} after "
            f"{milliseconds}; OneStock tries again",
        )
    ]
    if attempt.webhook_status is Status.DISABLED:
        shown.append(Shown("disabled", f"OneStock gave up on {attempt.event_type}: enable the webhook by hand"))
    return shown


def hand_over_shown(received: Received) -> Shown:
    """Return what the customer's system was given; its signature was right."""
    data = received.data
    if received.kind == "refund":
        what = f"{data['order_id']}: {data['quantity']:g} of {data['item_id']}, {data['state']}"
    elif received.kind == "shipment":
        what = f"{data['order_id']}: parcel {data['parcel_id']}, {data['tracking_code']}"
    else:
        what = _changed(dict(data))
    end = "knew it already (same webhook-id): nothing is done twice" if received.is_repeated else "has taken it"
    return Shown(received.kind, f"{what}; the customer's system {end}", is_routine=True)


def counted(outcomes: Mapping[str, int]) -> str:
    """Return how many deliveries ended how, in one line."""
    ends = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items(), key=lambda item: -item[1]))
    total = sum(outcomes.values())
    return f"{total} {'delivery' if total == 1 else 'deliveries'}: {ends}" if outcomes else "no delivery"


def _webhook(entry: Entry) -> Shown:
    latency = f"{entry.get('latency_ms', 0):.0f} ms"
    if entry.get("outcome") == "published":
        what = f"{_about(entry)} {_changed(_object(entry.get('content', '')), without_order=True)}".rstrip()
        unsigned = f"; its signature is wrong: {entry['reason']}" if entry.get("reason") else ""
        return Shown("acknowledged", f"{what}, {latency}{unsigned}", is_routine=not unsigned)
    step = "refused" if int(entry.get("status", 0)) < 500 else "not stored"  # noqa: PLR2004 - 5xx
    reason = entry.get("reason") or entry["message"]
    return Shown(step, f"{entry.get('event_type', '')}: {entry.get('status')} in {latency}: {reason}")


def _about(entry: Entry) -> str:
    labels = entry.get(_LABELS, {})
    order_id = entry.get("order_id") or labels.get("order_id", "")
    event_id = str(entry.get("event_id") or labels.get("event_id", ""))[:ID_LENGTH]
    event_type = str(entry.get("event_type") or labels.get("event_type", ""))
    return " ".join(part for part in (event_type, str(order_id), event_id) if part)


def _changed(content: Mapping[str, Any], *, without_order: bool = False) -> str:
    names: Sequence[str] = ("order_id", "parcel_id", "import_id")
    ids = [str(content[name]) for name in names if name in content and not (without_order and name == "order_id")]
    if "new_state" in content:
        ids.append(f"{content.get('old_state', '?')} to {content['new_state']}")
    return " ".join(ids)


def _object(content: Any) -> dict[str, Any]:
    """Return the object that `content` is, or that its text holds; an empty one for anything else."""
    try:
        value = json.loads(content) if isinstance(content, str | bytes) else content
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
