"""Says when `relay pause` stops the pushes of the local run, and when `relay resume` lets them go on."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from relay.errors import PubSubError
from relay.local.display import Terminal
from relay.local.pushes import PushGate
from relay.pubsub.pausing import Pause, PushSwitch

LOOK_SECONDS = 1.0


class PauseWatch:
    """Asks the emulator once a second: a pause is kept there, and another process makes it."""

    def __init__(self, switch: PushSwitch, gate: PushGate, terminal: Terminal) -> None:
        self._switch = switch
        self._gate = gate
        self._terminal = terminal
        self._stopping = threading.Event()
        self._is_paused = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look while the block runs."""
        # A daemon: at the end nobody waits for an emulator that does not answer.
        threading.Thread(target=self._watch, name="pauses", daemon=True).start()
        try:
            yield
        finally:
            self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            # A scenario may have taken Pub/Sub away.
            with contextlib.suppress(PubSubError):
                state = self._switch.state()
                self._tell(None if state.endpoint else state.pause)

    def _tell(self, pause: Pause | None) -> None:
        if (pause is not None) == self._is_paused or self._stopping.is_set():
            return
        self._is_paused = pause is not None
        self._gate.note_pause(is_paused=self._is_paused)
        if pause is not None:
            self._terminal.say("paused", f"{pause.reason}; events wait. To go on: relay resume")
        else:
            self._terminal.say("resumed", "Pub/Sub pushes to the worker again")
