"""HTTP requests as bytes: a client library would correct what a test sends wrong on purpose."""

import re
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

CONNECTIONS = 8
ANSWER_SECONDS = 20


def request(
    path: bytes, body: bytes, headers: Mapping[bytes, bytes], *, method: bytes = b"POST", chunked: bool = False
) -> bytes:
    """Return one request with a framing that fits the body."""
    framing = {b"Transfer-Encoding": b"chunked"} if chunked else {b"Content-Length": str(len(body)).encode()}
    head = request_line(path, {**headers, **framing}, method=method).removesuffix(b"\r\n")
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked and body else b"0\r\n\r\n" if chunked else body
    return head + b"\r\n\r\n" + sent


def request_line(path: bytes, headers: Mapping[bytes, bytes], *, method: bytes = b"POST") -> bytes:
    """Return the request line and the header lines, each with its end, without the empty line behind them."""
    lines = [b"%s: %s" % item for item in {b"Host": b"x", **headers}.items()]
    return b"".join(b"%s\r\n" % line for line in [b"%s %s HTTP/1.1" % (method, path), *lines])


def statuses(port: int, sent: bytes) -> list[int]:
    """Send bytes on a connection of their own, hang up our side, and return the status of each answer."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while more := connection.recv(65_536):
            received += more
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] ([0-9]{3}) ", received, re.MULTILINE)]


@dataclass
class Connections:
    """Some kept-alive connections to one service, each with one request under way at a time."""

    port: int
    sockets: list[socket.socket | None] = field(default_factory=lambda: [None] * CONNECTIONS)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(CONNECTIONS))

    def exchange(self, requests: list[bytes]) -> list[int]:
        """Send all requests and return their statuses in the same order; 0 where no answer came."""
        # Each hangs up as soon as it is told to: gunicorn's worker waits 2 s for that, and meanwhile for nothing else.
        statuses = [0] * len(requests)

        def send_share(number: int) -> None:
            for place in range(number, len(requests), CONNECTIONS):
                self._connected(number).sendall(requests[place])
                statuses[place] = self._status(number)

        list(self.threads.map(send_share, range(CONNECTIONS)))
        return statuses

    def _connected(self, number: int) -> socket.socket:
        known = self.sockets[number]
        if known is None:
            known = self.sockets[number] = socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS)
        return known

    def _status(self, number: int) -> int:
        connection = self._connected(number)
        received = b""
        while b"\r\n\r\n" not in received:
            more = connection.recv(65_536)
            if not more:
                self._hang_up(number)
                return 0
            received += more
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
        left = int(fields.get(b"content-length", b"0")) - len(body)
        while left > 0:
            left -= len(connection.recv(left))
        if fields.get(b"connection") == b"close":
            self._hang_up(number)
        return int(lines[0].split(b" ")[1])

    def _hang_up(self, number: int) -> None:
        known = self.sockets[number]
        if known is not None:
            known.close()
            self.sockets[number] = None

    def close(self) -> None:
        self.threads.shutdown()
        for number in range(len(self.sockets)):
            self._hang_up(number)


@contextmanager
def connections(port: int) -> Iterator[Connections]:
    with ExitStack() as stack:
        opened = Connections(port)
        stack.callback(opened.close)
        yield opened
