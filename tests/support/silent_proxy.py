"""A TCP proxy on loopback whose connections can go silent: they stay open and confirm TCP, and forward nothing more."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SilentProxy:
    """Forwards each connection to `host` (host:port). After `silence`, those that are open then read and drop."""

    def __init__(self, host: str) -> None:
        name, _, port = host.rpartition(":")
        self._backend = (name, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._silent: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.opened = 0
        self.dropped_bytes = 0
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def silence(self) -> None:
        """Let every connection that is open now go silent; new ones work."""
        with self._lock:
            self._silent |= set(self._pairs)

    @contextmanager
    def running(self) -> Iterator["SilentProxy"]:
        thread = threading.Thread(target=self._forward)
        thread.start()
        try:
            yield self
        finally:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            self._listener.close()
            for end in self._pairs:
                end.close()

    def _forward(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    if end is not self._listener:
                        self._pass_on(end, ready)
                    elif not self._accept(ready):
                        return

    def _accept(self, ready: selectors.BaseSelector) -> bool:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return False
        backend = socket.create_connection(self._backend)
        with self._lock:
            self._pairs |= {client: backend, backend: client}
            self.opened += 1
        for end in (client, backend):
            ready.register(end, selectors.EVENT_READ)
        return True

    def _pass_on(self, end: socket.socket, ready: selectors.BaseSelector) -> None:
        with self._lock:
            is_silent, other = end in self._silent, self._pairs[end]
        try:
            data = end.recv(65_536)
            if is_silent:
                self.dropped_bytes += len(data)
            elif data:
                other.sendall(data)
        except OSError:
            data = b""
        if not data:
            ready.unregister(end)
            if not is_silent:
                with contextlib.suppress(OSError):
                    other.shutdown(socket.SHUT_WR)
