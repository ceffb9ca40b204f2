"""Calls to one server, over connections that are opened as needed and kept."""

import math
import threading
import time
from collections.abc import Callable, Iterable
from functools import lru_cache

from hpack import Encoder, NeverIndexedHeaderTuple

from relay.rpc.connection import LOOK_AFTER_SECONDS, Connection, Origin
from relay.rpc.status import ConnectionLost


def header_block(headers: Iterable[tuple[str, str]]) -> bytes:
    """Return `headers` in HPACK, so that they mean the same on any connection at any time."""
    block: bytes = Encoder().encode([NeverIndexedHeaderTuple(name, value) for name, value in headers])
    return block


@lru_cache(maxsize=64)
def _timeout_block(seconds: int) -> bytes:
    """Return the header that tells the server how long somebody waits ("gRPC over HTTP2")."""
    return header_block([("grpc-timeout", f"{seconds}S")])


class Channel:
    """Safe for threads with one call on a connection, for greenlets with any number."""

    def __init__(
        self, origin: Origin, *, calls_per_connection: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`calls_per_connection` is how many may be under way on one; `clock` is in seconds."""
        self.origin = origin
        self._calls_per_connection = calls_per_connection
        self._clock = clock
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._calls: dict[Connection, int] = {}
        """Those under way on each connection."""

    def call(self, block: bytes, message: bytes, *, timeout_seconds: float) -> bytes:
        """Send one message and return the one that answers it; `block` comes from `header_block`.

        A kept connection that turns out to be lost is replaced once, so that the call may reach the server twice: it
        must bear that. Raises RpcError, and OSError (ConnectionLost and TimeoutError among them).
        """
        deadline = self._clock() + timeout_seconds
        kept = self._kept()
        if kept is not None:
            try:
                return self._call_on(kept, block, message, deadline)
            except ConnectionLost:
                pass
        return self._call_on(self._opened(deadline), block, message, deadline)

    def open_one(self, *, timeout_seconds: float) -> None:
        """Have a connection ready for the first call. Raises OSError."""
        self._release(self._opened(self._clock() + timeout_seconds))

    def close(self) -> None:
        """Close all connections; calls under way end with ConnectionLost."""
        with self._lock:
            for connection in self._calls:
                connection.close("closed by us")

    def _call_on(self, connection: Connection, block: bytes, message: bytes, deadline: float) -> bytes:
        left = deadline - self._clock()
        try:
            return connection.call(block + _timeout_block(max(1, math.ceil(left))), message, timeout_seconds=left)
        finally:
            self._release(connection)

    def _kept(self, *, look_after_seconds: float = LOOK_AFTER_SECONDS) -> Connection | None:
        """Return a connection that has room, with the place for one call taken."""
        with self._lock:
            for connection, calls in tuple(self._calls.items()):
                if calls < self._calls_per_connection and connection.has_room(
                    calls, look_after_seconds=look_after_seconds
                ):
                    self._calls[connection] += 1
                    return connection
                if connection.has_ended and not calls:
                    del self._calls[connection]
        return None

    def _opened(self, deadline: float) -> Connection:
        """Return another connection, the place taken: one is opened at a time, for all that wait for one."""
        if not self._opening.acquire(timeout=max(0.0, deadline - self._clock())):
            raise TimeoutError("no connection in time")
        try:
            # A server that ended one connection just now may have ended the others too.
            connection = self._kept(look_after_seconds=0)
            if connection is None:
                connection = Connection.open(self.origin, timeout_seconds=deadline - self._clock(), clock=self._clock)
                with self._lock:
                    self._calls[connection] = 1
            return connection
        finally:
            self._opening.release()

    def _release(self, connection: Connection) -> None:
        with self._lock:
            self._calls[connection] -= 1
