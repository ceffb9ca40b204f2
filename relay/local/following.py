"""Follows the services' logs while the run goes on: shows what they tell, and says when something no longer works."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from relay.errors import ConfigurationError
from relay.local.display import Terminal
from relay.local.log_lines import LogReader, entry_of
from relay.local.processes import Child
from relay.local.pushes import PushGate
from relay.local.reloading import ReloadingWorker
from relay.local.scenarios import Stage

LOOK_SECONDS = 0.05
SILENT_SECONDS = 10
"""Twice the longest back-off: then a push that is due does not come."""
_THREAD_ENDED = 'Exception in thread "'


@dataclass(frozen=True, slots=True)
class Services:
    """The relay's two services, as the run started them."""

    receiver: Child
    worker: ReloadingWorker


class Watch:
    """Everything that is looked at until the run ends."""

    def __init__(
        self,
        terminal: Terminal,
        reader: LogReader,
        *,
        gate: PushGate,
        stage: Stage,
        services: Services,
        logs: Path,
    ) -> None:
        """Take the logs in the folder `logs`: receiver.log, worker.log, given_up.log and emulator.log."""
        self._terminal = terminal
        self._reader = reader
        self._gate = gate
        self._stage = stage
        self._services = services
        self._logs = logs
        self._has_told_silence = False

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many deliveries ended how."""
        return self._reader.outcomes

    def until(self, stopping: threading.Event, *, events: int) -> None:
        """Follow until `stopping` is set, or `events` deliveries (0: any number) are settled.

        Raises ConfigurationError if the receiver or the emulator ends.
        """
        worker, receiver = follow(self._logs / "worker.log"), follow(self._logs / "receiver.log")
        given_up, emulator = follow(self._logs / "given_up.log"), follow(self._logs / "emulator.log")
        told_next: list[str] = []
        while not stopping.wait(LOOK_SECONDS):
            # `broken` tells what a worker prints that does not start; until that is known, its log is not read.
            lines = [] if self._services.worker.is_starting else next(worker)
            lines = [line for line in lines if line not in self._services.worker.told]
            # An event is given up after its last attempt, whose line a thread of the worker may still be writing.
            given_up_before, told_next = ([], told_next) if self._services.worker.is_starting else (told_next, [])
            told_next += next(given_up)
            self._show(sorted([*lines, *next(receiver), *given_up_before], key=_time_of))
            self._look_at_pushes(next(emulator))
            if events and self._reader.settled >= events:
                break
            self._check_that_all_run()

    def _check_that_all_run(self) -> None:
        receiver, emulator = self._services.receiver, self._stage.emulator
        if receiver.exit_status is not None:
            raise ConfigurationError(f"The receiver ended unexpectedly; it printed: {_last(receiver.output)}")
        if emulator.exit_status is not None:
            raise ConfigurationError(
                f"The Pub/Sub emulator ended unexpectedly (exit status {emulator.exit_status}), and its events are "
                f"lost. Start again: make run. Its log: {self._logs / 'emulator.log'}"
            )

    def _show(self, lines: list[str]) -> None:
        for text in lines:
            for shown in self._reader.shown(text):
                self._terminal.show(shown)
            message_id = self._reader.published(text)
            if message_id:
                self._gate.expect(message_id)

    def _look_at_pushes(self, lines: list[str]) -> None:
        """Say within seconds that the emulator no longer pushes: it accepts events as if all were well."""
        ended = next((line for line in lines if _THREAD_ENDED in line), None)
        if ended is not None:
            self._tell_silence(f"a thread of the emulator ended ({ended.strip()})")
        silent_seconds = self._gate.silent_seconds
        if silent_seconds > SILENT_SECONDS and not self._stage.is_frozen and not self._has_told_silence:
            self._has_told_silence = True
            self._tell_silence(f"the emulator has pushed nothing for {silent_seconds:.0f} s although events wait")
        elif silent_seconds == 0:
            self._has_told_silence = False

    def _tell_silence(self, what: str) -> None:
        file = self._logs / "emulator.log"
        self._terminal.say("no pushes", f"{what}. Stop (Ctrl-C) and start again: make run. The emulator's log: {file}")


def follow(file: Path) -> Iterator[list[str]]:
    """Yield the whole lines that were added to `file` since the last time; none while there is no file."""
    while not file.exists():
        yield []
    with file.open(errors="replace") as source:
        rest = ""
        while True:
            *lines, rest = (rest + source.read()).split("\n")
            yield lines


def _time_of(line: str) -> str:
    entry = entry_of(line)
    # A line without a time stays before those that have one: Python's sort keeps the order of equals.
    return str(entry.get("time", "")) if entry else ""


def _last(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-5:])
