"""What the handlers did, in a file that a killed process leaves whole: one line for each step, in one write."""

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from relay import Event, Reject, Retry


@dataclass(frozen=True)
class Step:
    moment: float
    pid: int
    name: str
    """begin, or done once the effect is there."""
    handler: str
    event_id: str


class Ledger:
    """Handlers write through it. `trouble` is the share of runs that fail, `seconds` the longest that one takes."""

    def __init__(self, file: Path, *, trouble: float = 0, seconds: float = 0) -> None:
        self.file = file
        self._trouble = trouble
        self._seconds = seconds
        self._sink = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def work(self, handler: str, event: Event) -> None:
        """Do one handler's work. Until the shop is repaired, orders marked `reject` or `retry` are so ended."""
        self.write("begin", handler, event)
        time.sleep(random.uniform(0, self._seconds))
        if random.random() < self._trouble:
            raise random.choice([Retry("invented: the shop is closed"), RuntimeError("invented: the shop fell over")])
        if event.content.get("retry") and not self.repaired.exists():
            raise Retry("invented: the shop is closed for repair")
        if event.content.get("reject") and not self.repaired.exists():
            raise Reject("invented: the shop knows no such order")
        self.write("done", handler, event)

    @property
    def repaired(self) -> Path:
        """The file whose presence means that rejected orders are accepted."""
        return self.file.with_suffix(".repaired")

    @property
    def gate(self) -> Path:
        """The file whose presence lets the handlers of tests.support.gated go on."""
        return self.file.with_suffix(".gate")

    def steps(self, name: str) -> list[Step]:
        """Return the steps of this name so far, oldest first."""
        words = [line.split(" ") for line in self.file.read_text().splitlines()]
        return [Step(float(w[0]), int(w[1]), w[2], w[3], w[4]) for w in words if w[2] == name]

    def count(self, name: str) -> int:
        """Return how many steps of this name there are; quick."""
        return self.file.read_bytes().count(f" {name} ".encode())

    def done(self) -> set[tuple[str, str]]:
        """Return (handler, event id) of all effects so far."""
        return {(step.handler, step.event_id) for step in self.steps("done")}

    def write(self, name: str, handler: str, event: Event) -> None:
        """Write one step down."""
        os.write(self._sink, f"{time.time()} {os.getpid()} {name} {handler} {event.event_id}\n".encode())
