"""What handlers have handled, for as long as the local run goes on, however often the worker is replaced.

The runner holds the memory store and workers reach it by `multiprocessing.managers`, over a socket in a folder that
only its owner may enter. A file would not do: the worker before still writes while the next one begins.
"""

import contextlib
import threading
from multiprocessing.managers import BaseManager
from typing import cast

from relay.errors import ClaimLost
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Stale, Store

# The folder's mode keeps others out; multiprocessing wants a key nevertheless.
_KEY = b"local-run"


class WorkersStore:
    """The store as one worker process has it: `end` gives back what the process held when it ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._held: dict[int, Claim] = {}

    def claim(self, request: ClaimRequest) -> Claim | Busy | Done | Stale:
        """See `Store.claim`."""
        answer = self._store.claim(request)
        if isinstance(answer, Claim):
            with self._lock:
                self._held[answer.token] = answer
        return answer

    def complete(self, claim: Claim, completion: Completion, *, retention_seconds: float) -> None:
        """See `Store.complete`."""
        self._store.complete(claim, completion, retention_seconds=retention_seconds)
        self._settle(claim)

    def release(self, claim: Claim) -> None:
        """See `Store.release`."""
        self._store.release(claim)
        self._settle(claim)

    def holds(self, claim: Claim, *, for_seconds: float) -> bool:
        """See `Store.holds`."""
        return self._store.holds(claim, for_seconds=for_seconds)

    def end(self) -> None:
        """Release what is held still: nobody waits out the lease of a worker that was replaced."""
        with self._lock:
            held, self._held = self._held, {}
        for claim in held.values():
            with contextlib.suppress(ClaimLost):
                self._store.release(claim)

    def _settle(self, claim: Claim) -> None:
        with self._lock:
            self._held.pop(claim.token, None)


class RunMemory:
    """The memory of a local run; each worker process reaches it by a socket of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def serve(self) -> tuple[str, WorkersStore]:
        """Return the socket for one worker process, and its store, to be ended after the process."""
        mine = WorkersStore(self._store)
        manager = _manager(None)
        manager.register("store", callable=lambda: mine)
        server = manager.get_server()
        # A daemon: it ends with the run, as the store does.
        threading.Thread(target=server.serve_forever, name="memory", daemon=True).start()
        return str(server.address), mine


def connected(socket: str) -> Store:
    """Return the store that a local run serves there, for a worker process."""
    manager = _manager(socket)
    manager.register("store", exposed=("claim", "complete", "release", "holds"))
    manager.connect()
    return cast("Store", manager.store())  # type: ignore[attr-defined]  # `register` makes it


def _manager(socket: str | None) -> BaseManager:
    """Return a manager at this socket; without one, at a new one in the folder that multiprocessing makes."""

    # A class for each, since the class keeps what is registered.
    class Manager(BaseManager):
        pass

    return Manager(address=socket, authkey=_KEY)
