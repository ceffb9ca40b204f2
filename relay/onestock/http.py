"""One HTTP exchange under one deadline, on pooled connections. Knows nothing of OneStock.

The usual HTTP clients bound each read: a server that sends a byte now and then can hold them for ever. Here every read
and write of the socket checks the deadline, so that it bounds connect, TLS, headers and body together.
"""

import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import httpcore

MAX_ANSWER_BYTES = 20_000_000  # A whole order is below 1 MB; without a bound a faulty server could fill the memory.
MAX_CONNECTIONS = 32  # gunicorn's worker runs 16 threads; handlers that exceed their budget leave further ones.
KEEP_ALIVE_SECONDS = 30

NEVER = float("inf")
_LONGEST_NUMBER = 12  # Digits; no pause is longer than some thousand years.


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after_seconds(self, now: float) -> float | None:
        """Return the pause that Retry-After asks for (seconds, or a date: RFC 9110), None if it asks for none.

        `now` is in Unix seconds.
        """
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdecimal():
            return float(text[:_LONGEST_NUMBER])
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now)


class NoAnswer(Exception):
    """No complete answer came: no connection, too late, cut off, not HTTP, or too long."""

    def __init__(self, reason: str, *, may_have_arrived: bool) -> None:
        super().__init__(reason)
        self.may_have_arrived = may_have_arrived
        """Whether the server may have received the request, and acted on it."""


class NoConnection(NoAnswer):
    """Nobody took the connection, so that nothing was sent: an unknown host, a refusal, a silent network."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no connection: {why}", may_have_arrived=False)
        self.why = why


class Exchange(Protocol):
    """Sends one request and returns the answer, whatever its status. Redirects are not followed."""

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, deadline: float) -> Answer:
        """Return the answer; `deadline` is a moment of `time.monotonic`. Raises NoAnswer."""
        ...


class _Deadline(threading.local):
    """The deadline of this thread's exchange. A connection serves one thread at a time."""

    at: float = NEVER

    def bound(self, timeout: float | None, late: type[Exception]) -> float | None:
        """Return `timeout`, or the time until the deadline if that is shorter. Raises `late` after the deadline."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise late("the deadline has passed")
        return left if timeout is None else min(timeout, left)


class _DeadlineStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.bound(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.bound(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            bound = self._deadline.bound(timeout, httpcore.ConnectTimeout)
        except httpcore.ConnectTimeout:
            # The pool does not know this connection yet, so that nothing else would close it.
            self.close()
            raise
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, bound), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _DeadlineBackend(httpcore.NetworkBackend):
    def __init__(self, deadline: _Deadline) -> None:
        self._sockets = httpcore.SyncBackend()
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        bound = self._deadline.bound(timeout, httpcore.ConnectTimeout)
        return _DeadlineStream(
            self._sockets.connect_tcp(host, port, bound, local_address, socket_options), self._deadline
        )


class PooledExchange:
    """Implements `Exchange` for any number of threads. Verifies the certificate of an https server."""

    def __init__(self) -> None:
        self._deadline = _Deadline()
        self._pool = httpcore.ConnectionPool(
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            network_backend=_DeadlineBackend(self._deadline),
        )

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, deadline: float) -> Answer:
        """See `Exchange`."""
        self._deadline.at = deadline
        try:
            return self._exchange(method, url, headers, body)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise NoConnection(_why(error)) from error
        except httpcore.PoolTimeout as error:
            raise NoAnswer(f"no connection: {_text_of(error)}", may_have_arrived=False) from error
        except httpcore.TimeoutException as error:
            raise NoAnswer(f"no complete answer in time ({_text_of(error)})", may_have_arrived=True) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise NoAnswer(f"the connection broke: {_text_of(error)}", may_have_arrived=True) from error
        finally:
            self._deadline.at = NEVER

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        pool_seconds = self._deadline.bound(None, httpcore.PoolTimeout)
        with self._pool.stream(
            method, url, headers=list(headers.items()), content=body, extensions={"timeout": {"pool": pool_seconds}}
        ) as response:
            received = bytearray()
            for part in response.iter_stream():
                received += part
                if len(received) > MAX_ANSWER_BYTES:
                    raise NoAnswer(f"an answer of more than {MAX_ANSWER_BYTES} bytes", may_have_arrived=True)
            names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            return Answer(status=response.status, headers=names, body=bytes(received))


def _why(error: Exception) -> str:
    """Return in words why there is no connection: the operating system's text begins with a number."""
    match error.args:
        case (ConnectionRefusedError(),):
            return "connection refused"
        case (socket.gaierror(),):
            return "unknown host"
    return _text_of(error)


def _text_of(error: Exception) -> str:
    return str(error) or type(error).__name__
