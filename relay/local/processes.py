"""Child processes that end with us, and the ports that they listen on."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from relay.errors import ConfigurationError

STOP_SECONDS = 12  # gunicorn's graceful time-out is 8 s.
_POLL_SECONDS = 0.05
# Below the ports that systems give to outgoing connections: one of these may take such a port before we listen on it.
_LISTENING = range(20_000, 32_000)

# A program inherits which signals are ignored: a background job of a script ignores SIGINT, Python itself SIGPIPE.
_EXEC_WITH_DEFAULT_SIGNALS = """
import os, signal, sys
for name in ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM", "SIGPIPE", "SIGXFSZ"):
    signal.signal(getattr(signal, name), signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now."""
    while is_taken(port := random.choice(_LISTENING)):
        pass
    return port


def is_taken(port: int) -> bool:
    """Return whether somebody listens on `port` of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def with_default_signals(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` in its own place, with no signal ignored."""
    return [sys.executable, "-I", "-S", "-c", _EXEC_WITH_DEFAULT_SIGNALS, *command]


class Child:
    """A process in a group of its own, so that Ctrl-C reaches only us and we decide in which order things end."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        output: Path,
        errors: int | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start `command` in `folder`, or here; what it prints is added to the file `output`.

        With `errors`, a file descriptor, what it prints to standard error goes there instead.
        """
        self.name = name
        self.output = output
        with output.open("ab") as sink:
            self._process = subprocess.Popen(
                with_default_signals(command),
                env=dict(environ),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT if errors is None else errors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is its group's id too."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status, None while the process runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, within_seconds: float) -> int | None:
        """Return the exit status once the process has ended, None if it does not in time."""
        try:
            return self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """End the process and its group: SIGTERM, then SIGKILL if it takes too long."""
        self.signal(signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        self.wait(STOP_SECONDS)
        self.signal(signal.SIGKILL)
        self._process.wait()

    def wait_until(self, condition: Callable[[], bool], *, within_seconds: float, what: str) -> None:
        """Return once `condition` holds. Raises ConfigurationError with the last lines printed if it does not."""
        deadline = time.monotonic() + within_seconds
        while not condition():
            if self.exit_status is not None or time.monotonic() > deadline:
                ended = "ended" if self.exit_status is not None else f"took over {within_seconds:g} s"
                last = " | ".join(self.output.read_text(errors="replace").splitlines()[-5:])
                raise ConfigurationError(f"{self.name} {ended} before {what}; it printed: {last}")
            time.sleep(_POLL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
