"""One measurement of a running service under load: the figures, and the proof that nothing is missing."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import usage, wrk
from bench.contestants import Running
from bench.errors import BenchError
from bench.prepared import Prepared
from bench.results import Cell

WARM_UP_SECONDS = 2
WARM_UP_CONNECTIONS = 16

Check = Callable[[Sequence[str]], None]
"""Takes the message ids of all 2xx answers; raises BenchError if one of their messages is missing."""


def warm_up(service: Running, prepared: Prepared, folder: Path) -> None:
    """Let caches, connections and the emulator's compiler settle."""
    wrk.closed_loop(service.url, prepared, connections=WARM_UP_CONNECTIONS, seconds=WARM_UP_SECONDS, folder=folder)


def measure(
    service: Running, prepared: Prepared, cell: Cell, *, seconds: int, folder: Path, check: Check
) -> dict[str, float]:
    """Return a cell's values. Raises BenchError if an answer is no 2xx, or if `check` does."""
    log_bytes_before = service.child.output.stat().st_size
    cpu_before = usage.cpu_seconds(service.child.pid)
    if cell.requests_per_second:
        load = wrk.steady(
            service.url,
            prepared,
            connections=cell.connections,
            per_second=cell.requests_per_second,
            seconds=seconds,
            folder=folder,
        )
    else:
        load = wrk.closed_loop(service.url, prepared, connections=cell.connections, seconds=seconds, folder=folder)
    cpu_seconds = usage.cpu_seconds(service.child.pid) - cpu_before
    memory = usage.memory(service.child.pid)
    check(load.message_ids)
    return {
        "per_second": load.answered / load.seconds,
        **load.latencies_ms,
        "cpu_seconds_per_1000": 1000 * cpu_seconds / load.answered,
        "log_bytes": (service.child.output.stat().st_size - log_bytes_before) / load.answered,
        "rss_mb": memory.rss_mb,
        "pss_mb": memory.pss_mb,
        "answered": load.answered,
    }


class HandledEvents:
    """Counts what the worker says it handled; one that it did not, or did twice, ends the run."""

    def __init__(self, log: Path) -> None:
        """`log` is the file that the worker prints to."""
        self._log = log
        self._read = 0
        self._answered = 0
        self._outcomes: list[str] = []

    def check(self, acknowledged: Sequence[str]) -> None:
        """Raise BenchError unless each 204 stands for one event that was handled."""
        self._answered += len(acknowledged)
        with self._log.open() as source:
            source.seek(self._read)
            lines = [line for line in source if line.startswith("{") and line.endswith("}\n")]
            self._read = source.tell()
        self._outcomes += [entry["outcome"] for entry in map(json.loads, lines) if entry.get("line") == "delivery"]
        handled = self._outcomes.count("handled")
        if handled != len(self._outcomes) or handled < self._answered:
            raise BenchError(
                f"{self._answered} events were acknowledged, and of {len(self._outcomes)} {handled} handled"
            )
