"""Frames go over the wire whole, however the network cuts them."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.rpc import http2
from relay.rpc.http2 import Frame, FrameReader, ProtocolError

FRAMES = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=100), st.sampled_from([0, 1, 4, 5])),
    max_size=10,
)


def fed(pieces: Sequence[bytes]) -> list[Frame]:
    reader = FrameReader()
    return [frame for piece in pieces for frame in reader.feed(piece)]


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 1_200), max_size=20))
def test_frames_come_back_whole_however_they_are_cut(
    frames: list[tuple[int, int, bytes, int]], cuts: list[int]
) -> None:
    wire = b"".join(http2.frame(kind, stream, payload, flags=flags) for kind, stream, payload, flags in frames)
    places = [0, *sorted(cuts), len(wire)]
    pieces = [wire[start:end] for start, end in pairwise(places)]

    read = fed(pieces)

    assert [(frame.kind, frame.stream_id, frame.payload, frame.flags) for frame in read] == frames
    assert [frame.size for frame in read] == [len(payload) for _, _, payload, _ in frames]


@given(payload=st.binary(max_size=50), padding=st.integers(0, 255), priority=st.booleans())
def test_padding_and_priority_are_taken_off_and_counted(payload: bytes, padding: int, priority: bool) -> None:  # noqa: FBT001
    sent = bytes([padding]) + (b"PRIOR" if priority else b"") + payload + bytes(padding)
    flags = http2.PADDED | (http2.PRIORITY if priority else 0)

    (read,) = fed([http2.frame(http2.HEADERS, 1, sent, flags=flags)])

    assert (read.payload, read.size) == (payload, len(sent))


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_no_bytes_break_the_reader(pieces: list[bytes]) -> None:
    try:
        frames = fed(pieces)
    except ProtocolError:
        return
    assert all(frame.size <= http2.FRAME_BYTES for frame in frames)


@pytest.mark.parametrize(
    "wire",
    [
        http2.frame(http2.DATA, 1, bytes(http2.FRAME_BYTES + 1)),
        http2.frame(http2.DATA, 1, b"", flags=http2.PADDED),
        http2.frame(http2.DATA, 1, b"\x05four", flags=http2.PADDED),
        http2.frame(http2.HEADERS, 1, b"four", flags=http2.PRIORITY),
    ],
)
def test_what_cannot_be_a_frame_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        fed([wire])


@given(st.dictionaries(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), max_size=5))
def test_settings_come_back(values: dict[int, int]) -> None:
    (frame,) = fed([http2.settings(values)])

    assert http2.settings_in(frame.payload) == values


def test_numbers_that_are_cut_short_are_refused() -> None:
    with pytest.raises(ProtocolError):
        http2.settings_in(b"12345")
    with pytest.raises(ProtocolError):
        http2.uint32_in(b"123")
