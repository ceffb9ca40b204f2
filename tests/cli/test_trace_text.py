"""`relay trace` shows an event's change in its head line, and an error that repeats once."""

import json
from datetime import UTC, datetime
from pathlib import Path

from tests.support.invented_lines import InventedEvent
from tests.support.parts import Tool

EVENT = InventedEvent(9, datetime.now(UTC))
ERROR = "Handler bill_parcel failed\nTraceback (most recent call last):\n  File x\nValueError: no weight"


def log_of(folder: Path, *messages: str) -> str:
    [webhook, *deliveries] = EVENT.lines()
    logged = [
        {**{name: value for name, value in delivery.items() if name.startswith(("time", "logging"))}, "message": text}
        for delivery, text in zip(deliveries, messages, strict=False)
    ]
    lines = (webhook, *logged, *deliveries)
    (folder / "log").write_text("".join(f"{json.dumps({**line, 'severity': 'ERROR'})}\n" for line in lines))
    return f"--lines={folder / 'log'}"


def test_the_head_line_tells_the_change(tmp_path: Path) -> None:
    told = Tool({}).run("trace", EVENT.event_id, log_of(tmp_path))

    assert told.stdout.splitlines()[0].endswith("parcel_state_changed of order ORD-100004, placed -> picking")


def test_a_traceback_begins_with_the_handler_and_has_no_marks_that_do_not_fit(tmp_path: Path) -> None:
    relays = '  File "/app/relay/worker/dispatch.py", line 1, in _handle\n    run()\n'
    handlers = f'  File "/app/handlers/parcels.py", line 7, in bill\n    weigh({"parcel, " * 12})\n    {"^" * 90}\n'
    error = ERROR.replace("  File x\n", f"{relays}{handlers}")

    told = Tool({"COLUMNS": "80"}).run("trace", EVENT.event_id, log_of(tmp_path, error)).stdout

    assert "dispatch.py" not in told
    assert "handlers/parcels.py" in told
    assert "^" not in told


def test_the_traceback_of_each_attempt_is_shown_once_while_it_is_the_same(tmp_path: Path) -> None:
    told = Tool({}).run("trace", EVENT.event_id, log_of(tmp_path, ERROR, ERROR, ERROR.replace("weight", "size")))

    assert told.stdout.count("Traceback") == 2
    assert told.stdout.count("the same error") == 1
    assert told.stdout.count("Handler bill_parcel failed") == 3
