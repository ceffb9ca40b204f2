"""The log lines that say which events the local run gave up, so that `relay trace` knows of their dead letters."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

from relay.events import Delivery, labels_of
from relay.logs import LABELS


class GivenUpLog:
    """A file with one JSON line for each event that used up its delivery attempts; safe for any number of threads."""

    def __init__(self, file: Path) -> None:
        """Make the empty file: commands read it from the start of the run on."""
        self._file = file
        self._lock = threading.Lock()
        file.touch()

    def write(self, delivery: Delivery) -> None:
        """Add the line of one event; `delivery` is its last one."""
        fields = {
            "time": datetime.now(UTC).isoformat(),
            "severity": "ERROR",
            "line": "given_up",
            "message": f"used up {delivery.delivery_attempt} delivery attempts; a copy is in the dead letters",
            "message_id": delivery.message_id,
            "delivery_attempt": delivery.delivery_attempt,
            "generation": delivery.generation,
            LABELS: labels_of(delivery),
        }
        with self._lock, self._file.open("a") as file:
            file.write(f"{json.dumps(fields)}\n")
