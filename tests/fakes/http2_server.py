"""An HTTP/2 server that does on each connection what a script says, also what no good server would do."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

from relay.rpc import http2
from relay.rpc.connection import Origin
from relay.rpc.http2 import Frame, FrameReader

SECONDS = 10
TRAILERS = (("grpc-status", "0"),)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked: `message` without its five bytes of head."""

    stream_id: int
    headers: dict[str, str]
    message: bytes


@dataclass
class Peer:
    """One connection, seen from the server."""

    sock: socket.socket
    seen: list[Frame] = field(default_factory=list)
    """Every frame that came."""

    def __post_init__(self) -> None:
        self.sock.settimeout(SECONDS)
        self._reader = FrameReader()
        self._decoder = Decoder()
        self._waiting: list[Frame] = []
        preface = b""
        while len(preface) < len(http2.PREFACE):
            preface += self.sock.recv(len(http2.PREFACE) - len(preface))
        assert preface == http2.PREFACE

    def frame(self) -> Frame:
        """Return the next frame. Raises EOFError at the end of the connection."""
        while not self._waiting:
            data = self.sock.recv(65_536)
            if not data:
                raise EOFError
            self._waiting = self._reader.feed(data)
            self.seen += self._waiting
        return self._waiting.pop(0)

    def frame_of(self, kind: int) -> Frame:
        """Return the next frame of a kind; those before it are read and left."""
        while (frame := self.frame()).kind != kind:
            continue
        return frame

    def request(self) -> Request:
        """Return the next request, once it is complete."""
        opened = self.frame_of(http2.HEADERS)
        headers = {str(name): str(value) for name, value in self._decoder.decode(opened.payload)}
        message = b""
        while True:
            frame = self.frame_of(http2.DATA)
            message += frame.payload
            if frame.flags & http2.END_STREAM:
                return Request(opened.stream_id, headers, message[5:])

    def send(self, *frames: bytes) -> None:
        self.sock.sendall(b"".join(frames))

    def answer(self, request: Request, message: bytes = b"ok") -> None:
        self.send(answer(request.stream_id, message))

    def serve(self, count: int) -> None:
        """Answer `count` requests with what they said."""
        for _ in range(count):
            request = self.request()
            self.answer(request, request.message)


def block(*headers: tuple[str, str]) -> bytes:
    """Return headers as a server sends them that uses no table, as it was told to."""
    encoder = Encoder()
    encoder.header_table_size = 0
    encoded: bytes = encoder.encode(list(headers))
    return encoded


def message_frames(stream_id: int, message: bytes) -> bytes:
    data = b"\0" + len(message).to_bytes(4) + message
    size = http2.FRAME_BYTES
    return b"".join(
        http2.frame(http2.DATA, stream_id, data[place : place + size]) for place in range(0, len(data), size)
    )


def answer(stream_id: int, message: bytes = b"ok", *, trailers: tuple[tuple[str, str], ...] = TRAILERS) -> bytes:
    """Return the frames of a whole answer."""
    return b"".join(
        (
            http2.frame(http2.HEADERS, stream_id, block((":status", "200")), flags=http2.END_HEADERS),
            message_frames(stream_id, message),
            http2.frame(http2.HEADERS, stream_id, block(*trailers), flags=http2.END_HEADERS | http2.END_STREAM),
        )
    )


@contextmanager
def serving(*scripts: Callable[[Peer], None]) -> Iterator[Origin]:
    """Run a server: the first connection gets the first script, and so on; at its script's end it is closed.

    What a script raises is raised here at the end, but for the client's hanging up.
    """
    failures: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)

        def run() -> None:
            try:
                for script in scripts:
                    sock, _ = listener.accept()
                    with sock:
                        script(Peer(sock))
            except (EOFError, ConnectionError):
                pass
            except BaseException as error:  # noqa: BLE001 - told to the test, below
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield Origin("127.0.0.1", listener.getsockname()[1])
        finally:
            thread.join(SECONDS)
    assert not thread.is_alive()
    if failures:
        raise failures[0]
