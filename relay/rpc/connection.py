"""Calls over one HTTP/2 connection, without a thread: who waits for an answer reads for all who wait.

    writing    a call puts its frames into the outbox; one call at a time sends what lies there, the others' frames too
    reading    one call at a time reads from the socket and hands each frame to its call; once its own answer is
               complete, another one that waits goes on

Nothing is read while nobody waits, so a connection that was idle is looked at before it is used again.

There is no lock: greenlets give way only where they wait (socket, latch, sleep), and threads do not share a connection.

Sources: "gRPC over HTTP2" (gRPC), "HTTP/2" (RFC 9113).
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

from hpack import Decoder, HPACKError

from relay.rpc import http2
from relay.rpc.http2 import Frame, FrameReader, ProtocolError
from relay.rpc.status import ConnectionLost, RpcError, Status

CONNECT_SECONDS = 3.0  # For each of the host's addresses, and again for TLS.
UNCONFIRMED_SECONDS = 5.0  # A peer whose system confirms nothing for so long is gone, not slow.
IDLE_SECONDS = 120.0  # What lies on the way may forget a silent connection, and say nothing.
WRITE_SECONDS = 1.0  # At least, whatever a call has left: half a frame is the end of the connection for all.
LOOK_AFTER_SECONDS = 1.0  # A server that has just answered is there.
RECEIVE_BYTES = 65_536
RECEIVE_WINDOW_BYTES = 1_000_000  # For all answers under way.
MAX_ANSWER_BYTES = 1_000_000  # Pub/Sub's are below 50 KB.
MAX_KNOWN_BLOCKS = 64

_MESSAGE_HEAD_BYTES = 5  # Whether the message is compressed (one byte), and its length.


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect; `tls` is None for a plain connection."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def authority(self) -> str:
        """The host as calls name it."""
        return self.host if self.tls is not None else f"{self.host}:{self.port}"


@dataclass(slots=True, eq=False)
class _Call:
    """One stream."""

    stream_id: int
    unsent: memoryview
    window: int
    """How many bytes the server takes now."""
    headers: dict[str, str] = field(default_factory=dict)
    """The answer's, and its trailers."""
    answer: bytes = b""
    is_done: bool = False
    error: Exception | None = None
    latch: "threading.Lock | None" = None
    """Of a call that waits while another reads."""

    def end(self, error: Exception | None = None) -> None:
        self.is_done, self.error = True, error
        self.wake()

    def wake(self) -> None:
        if self.latch is not None and self.latch.locked():
            self.latch.release()

    def result(self) -> bytes:
        if self.error is not None:
            raise self.error
        status = self.headers.get("grpc-status")
        if status is None:
            http_status = self.headers.get(":status", "none")
            raise RpcError(Status.of_http(http_status), f"no gRPC status, but HTTP status {http_status}")
        if status != "0":
            raise RpcError(Status.of(status), unquote(self.headers.get("grpc-message", "")))
        message = self.answer[_MESSAGE_HEAD_BYTES:]
        if self.answer[:_MESSAGE_HEAD_BYTES] != _message_head(message):
            raise RpcError(Status.INTERNAL, "the answer is not one uncompressed message")
        return message


class Connection:
    """Any number of greenlets may call at once; of threads, one at a time (a TLS socket is not for two)."""

    def __init__(self, sock: socket.socket, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take over a connected socket; `clock` is in seconds."""
        self._socket = sock
        self._clock = clock
        self._is_written = False
        self._is_read = False
        self._outbox = [
            http2.PREFACE,
            # Without a table, a header block means the same wherever it stands: the usual ones are decoded once.
            http2.settings(
                {
                    http2.SETTING_HEADER_TABLE_SIZE: 0,
                    http2.SETTING_ENABLE_PUSH: 0,
                    http2.SETTING_INITIAL_WINDOW_SIZE: MAX_ANSWER_BYTES,
                }
            ),
            http2.window_update(0, RECEIVE_WINDOW_BYTES - http2.WINDOW_BYTES),
        ]
        self._frames = FrameReader()
        self._decoder = Decoder()
        self._known_blocks: dict[bytes, Mapping[str, str]] = {}
        self._unfinished_block: Frame | None = None
        self._calls: dict[int, _Call] = {}
        self._next_stream_id = 1
        self._window = self._first_window = http2.WINDOW_BYTES
        self._frame_bytes = http2.FRAME_BYTES
        self._max_calls = http2.LAST_STREAM_ID
        self._unreported_bytes = 0
        self._idle_since = clock()
        self._end: ConnectionLost | None = None
        """Why no call can begin any more."""
        # Frames of other kinds are ignored, as RFC 9113 demands.
        self._on_frame: Mapping[int, Callable[[Frame], None]] = {
            http2.DATA: self._on_data,
            http2.HEADERS: self._on_headers,
            http2.CONTINUATION: self._on_headers,
            http2.RST_STREAM: self._on_rst_stream,
            http2.SETTINGS: self._on_settings,
            http2.PUSH_PROMISE: self._on_push_promise,
            http2.PING: self._on_ping,
            http2.GOAWAY: self._on_goaway,
            http2.WINDOW_UPDATE: self._on_window_update,
        }

    @classmethod
    def open(cls, origin: Origin, *, timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> Self:
        """Connect, and agree on TLS and HTTP/2. Raises OSError."""
        sock = _connected(origin.host, origin.port, timeout_seconds, clock)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNCONFIRMED_SECONDS * 1000))
            if origin.tls is not None:
                sock = _secured(sock, origin.host, origin.tls)
        except BaseException:
            sock.close()
            raise
        return cls(sock, clock=clock)

    @property
    def has_ended(self) -> bool:
        """Whether no call can begin any more."""
        return self._end is not None

    def has_room(self, calls: int, *, look_after_seconds: float = LOOK_AFTER_SECONDS) -> bool:
        """Return whether one call more can begin while `calls` are under way.

        Where none is, and none was for `look_after_seconds`, look at the socket.
        """
        if calls:
            return self._end is None and calls < self._max_calls
        idle_seconds = self._clock() - self._idle_since
        if idle_seconds >= IDLE_SECONDS:
            self.close("idle for too long")
        elif idle_seconds >= look_after_seconds:
            self._read_what_has_come()
        return self._end is None

    def call(self, header_block: bytes, message: bytes, *, timeout_seconds: float) -> bytes:
        """Send one message and return the one that answers it. `header_block` is the request's headers in HPACK.

        Raises RpcError for the server's refusal, ConnectionLost where another connection may help, and TimeoutError.
        """
        deadline = self._clock() + timeout_seconds
        call = self._begin(header_block, message)
        try:
            if len(self._calls) > 1:
                time.sleep(0)  # Calls that begin together are sent together.
            self._write(deadline)
            while not call.is_done:
                self._read_or_wait(call, deadline)
        finally:
            self._leave(call, deadline)
        return call.result()

    def close(self, reason: str) -> None:
        """End the connection, and every call on it with ConnectionLost."""
        self._end = self._end or ConnectionLost(reason)
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.end(ConnectionLost(reason))
        self._socket.close()

    def _begin(self, header_block: bytes, message: bytes) -> _Call:
        if self._end is not None:
            raise ConnectionLost(str(self._end))
        stream_id = self._next_stream_id
        self._next_stream_id += 2
        if self._next_stream_id > http2.LAST_STREAM_ID:
            self._end = ConnectionLost("all stream ids are used")
        call = _Call(stream_id, memoryview(_message_head(message) + message), self._first_window)
        self._calls[stream_id] = call
        self._outbox.append(http2.frame(http2.HEADERS, stream_id, header_block, flags=http2.END_HEADERS))
        self._put_out_what_fits(call)
        return call

    def _put_out_what_fits(self, call: _Call) -> None:
        while call.unsent:
            size = min(len(call.unsent), self._frame_bytes, call.window, self._window)
            if size <= 0:
                return
            part, call.unsent = call.unsent[:size], call.unsent[size:]
            call.window -= size
            self._window -= size
            flags = 0 if call.unsent else http2.END_STREAM
            self._outbox.append(http2.frame(http2.DATA, call.stream_id, bytes(part), flags=flags))

    def _write(self, deadline: float) -> None:
        """Send what lies in the outbox, unless another call is about to."""
        while self._outbox and not self._is_written:
            self._is_written = True
            try:
                data, self._outbox = b"".join(self._outbox), []
                self._socket.settimeout(max(WRITE_SECONDS, deadline - self._clock()))
                sent = self._socket.send(data)
                if sent < len(data):
                    self._socket.sendall(memoryview(data)[sent:])
            except OSError as error:
                # Even after a time-out: what was sent may end in the middle of a frame.
                self.close(f"sending failed: {type(error).__name__}: {error}")
            finally:
                self._is_written = False

    def _read_or_wait(self, call: _Call, deadline: float) -> None:
        """Read until the call is done; or, if another one reads, wait until it is done or has to read itself."""
        if self._is_read:
            call.latch = threading.Lock()
            call.latch.acquire()
            if not call.latch.acquire(timeout=max(0.0, deadline - self._clock())) and not call.is_done:
                raise TimeoutError("no answer in time")
            return
        self._is_read = True
        try:
            while not call.is_done:
                self._read(deadline)
        finally:
            self._is_read = False

    def _read(self, deadline: float) -> None:
        left = deadline - self._clock()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise  # Ours; the system's own means that the peer confirmed nothing.
            self.close(f"reading failed: {type(error).__name__}: {error}")
        else:
            self._take(data, deadline)

    def _read_what_has_come(self) -> None:
        while self._end is None:
            self._socket.settimeout(0)
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except OSError as error:
                self.close(f"reading failed: {type(error).__name__}: {error}")
            else:
                self._take(data, self._clock())

    def _take(self, data: bytes, deadline: float) -> None:
        if not data:
            self.close("closed by the server")
            return
        try:
            for frame in self._frames.feed(data):
                self._handle(frame)
        except (ProtocolError, HPACKError) as error:
            self.close(f"{type(error).__name__}: {error}")
        self._write(deadline)
        self._close_if_over()

    def _leave(self, call: _Call, deadline: float) -> None:
        """Give up the call unless it is done, and have another one read where nobody does."""
        if not call.is_done:
            self._drop(call)
        if not self._is_read:
            reader = next((other for other in self._calls.values() if other.latch is not None), None)
            if reader is not None:
                reader.wake()
        self._idle_since = self._clock()
        if self._outbox:
            self._write(deadline)
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._end is not None and not self._calls:
            self._socket.close()

    def _drop(self, call: _Call) -> None:
        if self._calls.pop(call.stream_id, None) is not None:
            self._outbox.append(http2.rst_stream(call.stream_id, http2.CANCEL))

    def _handle(self, frame: Frame) -> None:
        if self._unfinished_block is not None and frame.kind != http2.CONTINUATION:
            raise ProtocolError("a header block without an end")
        handle = self._on_frame.get(frame.kind)
        if handle is not None:
            handle(frame)

    def _on_data(self, frame: Frame) -> None:
        self._unreported_bytes += frame.size
        if self._unreported_bytes >= RECEIVE_WINDOW_BYTES // 2:
            self._outbox.append(http2.window_update(0, self._unreported_bytes))
            self._unreported_bytes = 0
        call = self._calls.get(frame.stream_id)
        if call is None:
            return
        call.answer += frame.payload
        if len(call.answer) >= MAX_ANSWER_BYTES:
            self._drop(call)
            call.end(RpcError(Status.RESOURCE_EXHAUSTED, f"the answer is longer than {MAX_ANSWER_BYTES} bytes"))
        else:
            self._end_if_last(call, frame)

    def _on_headers(self, frame: Frame) -> None:
        if self._unfinished_block is not None:
            first = self._unfinished_block
            if frame.stream_id != first.stream_id or len(first.payload) > http2.WINDOW_BYTES:
                raise ProtocolError("a header block that goes on elsewhere, or without end")
            frame = first._replace(payload=first.payload + frame.payload, flags=first.flags | frame.flags)
            self._unfinished_block = None
        elif frame.kind == http2.CONTINUATION:
            raise ProtocolError("a header block without a beginning")
        if not frame.flags & http2.END_HEADERS:
            self._unfinished_block = frame
            return
        headers = self._headers_in(frame.payload)
        call = self._calls.get(frame.stream_id)
        if call is not None:
            call.headers.update(headers)
            self._end_if_last(call, frame)

    def _headers_in(self, block: bytes) -> Mapping[str, str]:
        """Decode a block; every block is decoded or known, whoever it is for, as the table demands."""
        headers = self._known_blocks.get(block)
        if headers is None:
            headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
            if self._decoder.header_table_size == 0:
                if len(self._known_blocks) == MAX_KNOWN_BLOCKS:
                    self._known_blocks.clear()
                self._known_blocks[block] = headers
        return headers

    def _end_if_last(self, call: _Call, frame: Frame) -> None:
        if not frame.flags & http2.END_STREAM:
            return
        if call.unsent:
            self._drop(call)  # The server has answered before it had heard us out.
        self._calls.pop(call.stream_id, None)
        call.end()

    def _on_rst_stream(self, frame: Frame) -> None:
        code = http2.uint32_in(frame.payload)
        call = self._calls.pop(frame.stream_id, None)
        if call is not None:
            refused = code == http2.REFUSED_STREAM
            text = f"the server broke the stream off, code {code}"
            call.end(ConnectionLost(text) if refused else RpcError(Status.UNAVAILABLE, text))

    def _on_settings(self, frame: Frame) -> None:
        if frame.flags & http2.ACK:
            return
        values = http2.settings_in(frame.payload)
        self._frame_bytes = values.get(http2.SETTING_MAX_FRAME_SIZE, self._frame_bytes)
        self._max_calls = values.get(http2.SETTING_MAX_CONCURRENT_STREAMS, self._max_calls)
        first_window = values.get(http2.SETTING_INITIAL_WINDOW_SIZE, self._first_window)
        if not http2.FRAME_BYTES <= self._frame_bytes <= http2.MAX_FRAME_BYTES or first_window > http2.MAX_WINDOW_BYTES:
            raise ProtocolError("a frame size or a window out of its range")
        for call in self._calls.values():
            call.window += first_window - self._first_window
        self._first_window = first_window
        self._outbox.append(http2.frame(http2.SETTINGS, 0, b"", flags=http2.ACK))
        self._go_on_sending()

    def _on_ping(self, frame: Frame) -> None:
        if not frame.flags & http2.ACK:
            self._outbox.append(http2.frame(http2.PING, 0, frame.payload, flags=http2.ACK))

    def _on_goaway(self, frame: Frame) -> None:
        last_stream_id = http2.uint32_in(frame.payload)
        self._end = self._end or ConnectionLost("the server is going away")
        for stream_id in [stream_id for stream_id in self._calls if stream_id > last_stream_id]:
            self._calls.pop(stream_id).end(self._end)

    def _on_window_update(self, frame: Frame) -> None:
        more_bytes = http2.uint32_in(frame.payload)
        if frame.stream_id == 0:
            self._window += more_bytes
        elif (call := self._calls.get(frame.stream_id)) is not None:
            call.window += more_bytes
        self._go_on_sending()

    def _go_on_sending(self) -> None:
        for call in self._calls.values():
            self._put_out_what_fits(call)

    def _on_push_promise(self, frame: Frame) -> None:
        raise ProtocolError(f"a push on stream {frame.stream_id}, which was declined")


def _message_head(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4)


def _connected(host: str, port: int, timeout_seconds: float, clock: Callable[[], float]) -> socket.socket:
    """Connect to the first of the host's addresses that answers. Raises OSError."""
    deadline = clock() + timeout_seconds
    failure: OSError = TimeoutError("no time left to connect")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        left = deadline - clock()
        if left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(min(left, CONNECT_SECONDS))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _secured(sock: socket.socket, host: str, tls: ssl.SSLContext) -> ssl.SSLSocket:
    secured = tls.wrap_socket(sock, server_hostname=host)
    if secured.selected_alpn_protocol() != "h2":
        secured.close()
        raise ProtocolError(f"{host} does not speak HTTP/2")
    return secured
