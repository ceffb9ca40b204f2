"""The worker of the local run: a saved handler gets a new worker process, and the old one serves until that is healthy.

The files are looked at four times a second: no dependency, and it works on every file system, also a mounted one.
"""

import contextlib
import importlib.util
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from relay.errors import ConfigurationError
from relay.local.display import Terminal
from relay.local.processes import Child, free_port
from relay.local.pushes import PushGate
from relay.local.run_memory import RunMemory, WorkersStore
from relay.local.services import start_service

LOOK_SECONDS = 0.25
_MOST_LINES = 12

Versions = Mapping[Path, tuple[int, int]]
"""Each file's time of change and size."""


def folder_of(package: str) -> Path:
    """Return the folder of a package of handlers. Raises ConfigurationError if there is none of this name."""
    found = None
    with contextlib.suppress(ImportError):
        found = importlib.util.find_spec(package)
    places = found.submodule_search_locations if found else None
    if not places:
        raise ConfigurationError(
            f"HANDLERS_PACKAGE: there is no Python package {package!r} here; "
            f"make {package.replace('.', '/')}/__init__.py, or name another"
        )
    return Path(places[0])


@dataclass(frozen=True, slots=True)
class _Worker:
    """One worker process, and what it has of the run's memory."""

    child: Child
    store: WorkersStore | None

    def stop(self) -> None:
        self.child.stop()
        if self.store is not None:
            self.store.end()


class _Errors:
    """What one worker prints to standard error, in the log like all else, and kept apart from what others print."""

    def __init__(self, log: Path) -> None:
        """Add the lines to `log`."""
        self._log = log
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)
        self._read, self.descriptor = os.pipe()
        """`descriptor` is where the worker writes to, which is started within the block."""
        self._thread = threading.Thread(target=self._copy, name="errors of a worker", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def last_lines(self) -> list[str]:
        """Return the last lines of a worker that has ended."""
        self._thread.join()
        return list(self._lines)

    def _copy(self) -> None:
        with os.fdopen(self._read, errors="replace") as printed, self._log.open("a", buffering=1) as log:
            for line in printed:
                log.write(line)
                # The services' own lines are JSON, gunicorn's begin with the date in brackets.
                if line.strip() and not line.startswith(("{", "[20")):
                    self._lines.append(line.rstrip())


class ReloadingWorker:
    """The worker in charge, and the thread that replaces it."""

    def __init__(
        self,
        gate: PushGate,
        terminal: Terminal,
        *,
        settings: Mapping[str, str],
        output: Path,
        memory: RunMemory | None = None,
    ) -> None:
        """Take the worker's `settings`; what all its processes print is added to `output`.

        `memory` is the store of all its processes; without one IDEMPOTENCY_STORE says which it is.
        """
        self._gate = gate
        self._terminal = terminal
        self._settings = settings
        self._output = output
        self._memory = memory
        self._folder = folder_of(settings.get("HANDLERS_PACKAGE", "handlers"))
        self._child: _Worker | None = None
        self._ending: list[threading.Thread] = []
        self._stopping = threading.Event()
        self.is_starting = False
        """Whether a worker is being started: what it prints is no handler's as long as nobody knows how that ends."""
        self.told: frozenset[str] = frozenset()
        """The lines that the last worker printed instead of starting; `broken` has told them."""
        self.broken: str | None = None
        """Where the handlers are broken, `file:line` or the first line of the reason; None while a worker runs."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep a worker while the block runs; it begins once the first is healthy, or is known to be broken."""
        seen = self._versions()
        self._replace()
        watching = threading.Thread(target=self._watch, args=(seen,), name="reload")
        watching.start()
        try:
            yield
        finally:
            self._stopping.set()
            watching.join()
            self._gate.lead_to(None)
            if self._child is not None:
                self._child.stop()
            for thread in self._ending:
                thread.join()

    def _watch(self, seen: Versions) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            found = self._versions()
            if found != seen:
                changed = sorted(file for file in {*found, *seen} if found.get(file) != seen.get(file))
                seen = found
                self._reload({"reloaded": [file for file in changed if file in found],
                              "removed": [file for file in changed if file not in found]})  # fmt: skip
            elif self._child is not None and self._child.child.exit_status is not None:
                self._terminal.say("error", f"the worker ended unexpectedly; its log: {self._output}. It starts again")
                self._child.stop()
                self._child = None
                self._replace()

    def _reload(self, changed: Mapping[str, list[Path]]) -> None:
        started = time.monotonic()
        if not self._replace():
            return
        for step, files in changed.items():
            if files:
                names = ", ".join(str(file.relative_to(self._folder.parent)) for file in files)
                self._terminal.say(step, f"{names} in {time.monotonic() - started:.1f} s")

    def _replace(self) -> bool:
        """Start a worker with the files as they are, and put it in charge; if it is broken, the one before goes on."""
        # Python compares a compiled file by the second and the size: a quick change of equal length would be missed.
        for compiled in self._folder.rglob("__pycache__"):
            shutil.rmtree(compiled, ignore_errors=True)
        port = free_port()
        socket, store = self._memory.serve() if self._memory else (None, None)
        app = f"main:worker({socket!r})" if socket else None
        self.is_starting = True
        errors = _Errors(self._output)
        try:
            with errors:
                child = start_service(
                    "worker",
                    port=port,
                    settings=self._settings,
                    output=self._output,
                    errors=errors.descriptor,
                    app=app,
                )
        except ConfigurationError as error:
            self._tell_broken(errors.last_lines(), error)
            return False
        finally:
            self.is_starting = False
        self._gate.lead_to(f"http://127.0.0.1:{port}")
        if self._child is not None:
            ending = threading.Thread(target=self._child.stop, name="end of a worker")
            ending.start()
            self._ending = [thread for thread in self._ending if thread.is_alive()] + [ending]
        self._child, self.broken = _Worker(child, store), None
        return True

    def _tell_broken(self, reasons: list[str], error: ConfigurationError) -> None:
        meanwhile = "events wait" if self._child is None else "the handlers loaded before go on"
        self.told = frozenset(reasons)
        reason = "\n".join(reasons) or str(error)
        if self._child is None:
            self.broken = reason.partition(" ")[0].removesuffix(":")
        self._terminal.say("broken", f"{reason}\nSave the file once it is mended; {meanwhile} meanwhile.")

    def _versions(self) -> Versions:
        versions = {}
        for file in self._folder.rglob("*.py"):
            with contextlib.suppress(FileNotFoundError):
                found = file.stat()
                versions[file] = (found.st_mtime_ns, found.st_size)
        return versions
