"""HTTP/2 frames, as far as a client of unary calls needs them. No I/O: bytes in, frames out, and back.

Source: "HTTP/2" (RFC 9113). Header blocks are hpack's.
"""

from struct import Struct
from typing import Final, NamedTuple

DATA: Final = 0x0
HEADERS: Final = 0x1
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

ACK: Final = 0x1  # Of SETTINGS and PING.
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20

SETTING_HEADER_TABLE_SIZE: Final = 0x1
SETTING_ENABLE_PUSH: Final = 0x2
SETTING_MAX_CONCURRENT_STREAMS: Final = 0x3
SETTING_INITIAL_WINDOW_SIZE: Final = 0x4
SETTING_MAX_FRAME_SIZE: Final = 0x5

REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES: Final = 16_384  # What a frame's payload holds unless the receiving side allows more; we do not.
WINDOW_BYTES: Final = 65_535  # What may be under way before the other side has said anything.
MAX_FRAME_BYTES: Final = 2**24 - 1
MAX_WINDOW_BYTES: Final = 2**31 - 1
LAST_STREAM_ID: Final = 2**31 - 1

_HEAD = Struct(">HBBBI")  # The length's 24 bits come as 16 and 8.
_HEAD_BYTES = _HEAD.size
_UINT32 = Struct(">I")
_SETTING = Struct(">HI")
_PRIORITY_BYTES = 5


class ProtocolError(OSError):
    """The other side does not speak HTTP/2, or not well. Nothing more can be made of the connection."""


class Frame(NamedTuple):
    """One frame; `payload` is without padding and priority, which `size` (bytes) counts too."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes
    size: int


def frame(kind: int, stream_id: int, payload: bytes, *, flags: int = 0) -> bytes:
    """Return a frame as it goes over the wire; `payload` has at most what the other side allows."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


def window_update(stream_id: int, more_bytes: int) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, stream_id, _UINT32.pack(more_bytes))


def rst_stream(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, stream_id, _UINT32.pack(code))


def settings_in(payload: bytes) -> dict[int, int]:
    """Return what a SETTINGS frame sets. Raises ProtocolError."""
    if len(payload) % _SETTING.size:
        raise ProtocolError("a SETTINGS frame of a wrong length")
    return dict(_SETTING.iter_unpack(payload))


def uint32_in(payload: bytes, offset: int = 0) -> int:
    """Return a number of 31 bits in a payload: a window's growth, a stream id. Raises ProtocolError."""
    if len(payload) < offset + _UINT32.size:
        raise ProtocolError("a frame that is too short")
    number: int = _UINT32.unpack_from(payload, offset)[0]
    return number & LAST_STREAM_ID


class FrameReader:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete with `data`. Raises ProtocolError."""
        data = self._rest + data if self._rest else data
        frames: list[Frame] = []
        start, end = 0, len(data)
        while end - start >= _HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(data, start)
            body = start + _HEAD_BYTES
            size = high << 8 | low
            if size > FRAME_BYTES:
                raise ProtocolError(f"a frame of {size} bytes")
            if end - body < size:
                break
            start = body + size
            payload = data[body:start]
            if flags & (PADDED | PRIORITY) and kind in (DATA, HEADERS):
                payload = _bare(kind, flags, payload)
            frames.append(Frame(kind, flags, stream_id & LAST_STREAM_ID, payload, size))
        self._rest = data[start:]
        return frames


def _bare(kind: int, flags: int, payload: bytes) -> bytes:
    """Return the payload without padding and priority."""
    padding = 0
    if flags & PADDED:
        if not payload:
            raise ProtocolError("a padded frame without its padding's length")
        padding, payload = payload[0], payload[1:]
    if kind == HEADERS and flags & PRIORITY:
        if len(payload) < _PRIORITY_BYTES:
            raise ProtocolError("a header block without its priority")
        payload = payload[_PRIORITY_BYTES:]
    if padding > len(payload):
        raise ProtocolError("more padding than payload")
    return payload[: len(payload) - padding]
