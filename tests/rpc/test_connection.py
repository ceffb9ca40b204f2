"""One call, one answer, or one of three errors, whatever the server does. The server here is scripted."""

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.rpc import http2
from relay.rpc.channel import header_block
from relay.rpc.connection import MAX_ANSWER_BYTES, RECEIVE_WINDOW_BYTES, Connection
from relay.rpc.status import ConnectionLost, RpcError, Status
from tests.fakes.http2_server import Peer, Request, answer, block, message_frames, serving

HEADERS = header_block([(":method", "POST"), (":scheme", "http"), (":path", "/test.Shop/Buy"), (":authority", "shop")])
OPENED, ENDED = http2.END_HEADERS, http2.END_HEADERS | http2.END_STREAM


@contextmanager
def connected(script: Callable[[Peer], None]) -> Iterator[Connection]:
    with serving(script) as origin:
        connection = Connection.open(origin, timeout_seconds=5)
        try:
            yield connection
        finally:
            connection.close("the test is over")


def call(connection: Connection, message: bytes = b"hello", timeout_seconds: float = 5) -> bytes:
    return connection.call(HEADERS, message, timeout_seconds=timeout_seconds)


def test_a_call_returns_the_answer() -> None:
    seen: list[Request] = []

    def script(peer: Peer) -> None:
        seen.append(peer.request())
        peer.answer(seen[0], b"sold")

    with connected(script) as connection:
        assert call(connection, b"one shirt") == b"sold"

    assert seen[0].message == b"one shirt"
    assert seen[0].headers[":path"] == "/test.Shop/Buy"


def test_calls_follow_each_other_on_one_connection() -> None:
    with connected(lambda peer: peer.serve(3)) as connection:
        assert [call(connection, text) for text in (b"a", b"", b"c" * 20_000)] == [b"a", b"", b"c" * 20_000]


def test_settings_and_pings_are_acknowledged_in_the_middle_of_a_call() -> None:
    acknowledged: list[tuple[int, bytes]] = []

    def script(peer: Peer) -> None:
        request = peer.request()
        peer.send(http2.settings({}), http2.frame(http2.PING, 0, b"12345678"))
        for kind in (http2.SETTINGS, http2.PING):
            frame = peer.frame_of(kind)
            acknowledged.append((frame.flags, frame.payload))
        peer.answer(request)

    with connected(script) as connection:
        assert call(connection) == b"ok"

    assert acknowledged == [(http2.ACK, b""), (http2.ACK, b"12345678")]


def test_padding_priority_continued_headers_and_unknown_frames_are_read_over() -> None:
    def script(peer: Peer) -> None:
        stream_id = peer.request().stream_id
        head = block((":status", "200"), ("content-type", "application/grpc"))
        padded = b"\x03" + b"\0\0\0\0\x02ok" + b"   "
        peer.send(
            http2.frame(0xEE, 0, b"what is this"),
            http2.frame(http2.HEADERS, stream_id, b"PRIOR" + head[:3], flags=http2.PRIORITY),
            http2.frame(http2.CONTINUATION, stream_id, head[3:5]),
            http2.frame(http2.CONTINUATION, stream_id, head[5:], flags=OPENED),
            http2.frame(http2.DATA, stream_id, padded, flags=http2.PADDED),
            http2.frame(http2.HEADERS, stream_id, block(("grpc-status", "0")), flags=ENDED),
        )

    with connected(script) as connection:
        assert call(connection) == b"ok"


def test_a_window_that_the_server_makes_smaller_is_kept_to() -> None:
    message = bytes(range(256)) * 2
    received: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.send(http2.settings({http2.SETTING_INITIAL_WINDOW_SIZE: 100}))
        opened = peer.frame_of(http2.HEADERS)
        assert peer.frame_of(http2.RST_STREAM).stream_id == opened.stream_id
        opened = peer.frame_of(http2.HEADERS)
        allowed = 100
        while len(b"".join(received)) < 5 + len(message):
            received.append(peer.frame_of(http2.DATA).payload)
            assert len(b"".join(received)) <= allowed
            peer.send(http2.window_update(opened.stream_id, 70))
            allowed += 70
        peer.send(answer(opened.stream_id))

    with connected(script) as connection:
        with pytest.raises(TimeoutError):  # Meanwhile the settings are read: nobody reads while nobody waits.
            call(connection, b"", timeout_seconds=0.2)
        assert call(connection, message) == b"ok"

    assert b"".join(received)[5:] == message


@pytest.mark.parametrize("closed", ["stream", "connection"])
def test_a_message_waits_for_the_windows_of_both_stream_and_connection(closed: str) -> None:
    message = b"x" * 100_000
    counts: list[int] = []

    def script(peer: Peer) -> None:
        stream_id = peer.frame_of(http2.HEADERS).stream_id
        received = 0
        while received < http2.WINDOW_BYTES:
            received += peer.frame_of(http2.DATA).size
        grants = {"stream": http2.window_update(stream_id, 50_000), "connection": http2.window_update(0, 50_000)}
        peer.send(*(grant for window, grant in grants.items() if window != closed))
        peer.send(http2.frame(http2.PING, 0, b"12345678"))
        counts.append(received)
        while (frame := peer.frame()).kind != http2.PING:
            counts.append(frame.size)
        peer.send(grants[closed])
        while received < 5 + len(message):
            received += peer.frame_of(http2.DATA).size
        peer.send(answer(stream_id))

    with connected(script) as connection:
        assert call(connection, message) == b"ok"

    assert counts == [http2.WINDOW_BYTES]


def test_a_server_that_keeps_a_table_of_headers_is_understood() -> None:
    def inserted(name: bytes, value: bytes) -> bytes:
        return b"\x40" + bytes([len(name)]) + name + bytes([len(value)]) + value

    def script(peer: Peer) -> None:
        for status in (b"5", b"3"):
            stream_id = peer.request().stream_id
            newest = b"\xbe"  # The same byte for two statuses.
            peer.send(
                http2.frame(http2.HEADERS, stream_id, inserted(b"grpc-status", status), flags=OPENED),
                http2.frame(http2.HEADERS, stream_id, newest, flags=ENDED),
            )

    with connected(script) as connection:
        for name in ("NOT_FOUND", "INVALID_ARGUMENT"):
            with pytest.raises(RpcError, match=name):
                call(connection)


def test_the_servers_window_is_opened_again_before_it_is_used_up() -> None:
    count, size = 50, 60_000
    granted: list[int] = []

    def script(peer: Peer) -> None:
        for _ in range(count):
            peer.answer(peer.request(), b"x" * size)
        granted.extend(http2.uint32_in(frame.payload) for frame in peer.seen if frame.kind == http2.WINDOW_UPDATE)

    with connected(script) as connection:
        assert {len(call(connection)) for _ in range(count)} == {size}

    assert http2.WINDOW_BYTES + sum(granted) >= count * size - RECEIVE_WINDOW_BYTES // 2
    assert len(granted) < 10


@pytest.mark.parametrize(
    ("trailers", "status", "text"),
    [
        (
            (("grpc-status", "5"), ("grpc-message", "no topic%3A 5 %E2%82%AC")),
            Status.NOT_FOUND,
            "NOT_FOUND: no topic: 5 €",
        ),
        ((("grpc-status", "14"),), Status.UNAVAILABLE, "UNAVAILABLE"),
        ((("grpc-status", "99"),), Status.UNKNOWN, "UNKNOWN"),
        ((("grpc-status", "nonsense"),), Status.UNKNOWN, "UNKNOWN"),
    ],
)
def test_a_refusal_is_an_error_with_its_status(
    trailers: tuple[tuple[str, str], ...], status: Status, text: str
) -> None:
    def script(peer: Peer) -> None:
        peer.send(answer(peer.request().stream_id, trailers=trailers))

    with connected(script) as connection, pytest.raises(RpcError) as raised:
        call(connection)

    assert (raised.value.status, str(raised.value)) == (status, text)


@pytest.mark.parametrize(("http_status", "status"), [("503", Status.UNAVAILABLE), ("404", Status.UNIMPLEMENTED)])
def test_an_answer_of_something_on_the_way_has_the_status_that_grpc_gives_it(http_status: str, status: Status) -> None:
    def script(peer: Peer) -> None:
        stream_id = peer.request().stream_id
        peer.send(http2.frame(http2.HEADERS, stream_id, block((":status", http_status)), flags=ENDED))

    with connected(script) as connection, pytest.raises(RpcError) as raised:
        call(connection)

    assert raised.value.status is status


@pytest.mark.parametrize("message", [b"", b"\x01\0\0\0\x02ok", b"\0\0\0\0\x03ok", b"\0\0\0\0\x02okay"])
def test_an_answer_that_is_not_one_plain_message_is_refused(message: bytes) -> None:
    def script(peer: Peer) -> None:
        stream_id = peer.request().stream_id
        peer.send(
            http2.frame(http2.DATA, stream_id, message),
            http2.frame(http2.HEADERS, stream_id, block((":status", "200"), ("grpc-status", "0")), flags=ENDED),
        )

    with connected(script) as connection, pytest.raises(RpcError, match="INTERNAL"):
        call(connection)


def test_an_answer_without_end_is_broken_off() -> None:
    def script(peer: Peer) -> None:
        request = peer.request()
        peer.send(message_frames(request.stream_id, bytes(MAX_ANSWER_BYTES - 5)))
        peer.frame_of(http2.RST_STREAM)
        peer.serve(1)

    with connected(script) as connection:
        with pytest.raises(RpcError, match="RESOURCE_EXHAUSTED: the answer is longer than 1000000 bytes"):
            call(connection)
        assert call(connection, b"after") == b"after"


def test_a_server_that_answers_before_it_has_heard_all_is_not_sent_the_rest() -> None:
    cancelled: list[int] = []

    def script(peer: Peer) -> None:
        opened = peer.frame_of(http2.HEADERS)
        trailers = block((":status", "200"), ("grpc-status", "3"), ("grpc-message", "too long"))
        peer.send(http2.frame(http2.HEADERS, opened.stream_id, trailers, flags=ENDED))
        cancelled.append(peer.frame_of(http2.RST_STREAM).stream_id)
        peer.send(http2.window_update(0, 100_000))
        peer.serve(1)

    with connected(script) as connection:
        with pytest.raises(RpcError, match="INVALID_ARGUMENT: too long"):
            call(connection, bytes(500_000))
        assert call(connection, b"after") == b"after"

    assert cancelled == [1]


def test_a_silent_server_is_given_up_in_time_and_the_connection_goes_on() -> None:
    cancelled: list[int] = []

    def script(peer: Peer) -> None:
        late = peer.request()
        cancelled.append(peer.frame_of(http2.RST_STREAM).stream_id)
        peer.answer(late, b"too late")
        peer.serve(1)

    with connected(script) as connection:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            call(connection, timeout_seconds=0.3)
        assert 0.3 <= time.monotonic() - started < 2
        assert call(connection, b"after") == b"after"

    assert cancelled == [1]


def test_a_server_that_sends_something_now_and_then_is_not_waited_for_longer() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.sock.settimeout(0.05)
        while True:
            peer.send(http2.frame(http2.PING, 0, b"12345678"))
            try:
                if peer.frame().kind == http2.RST_STREAM:
                    return
            except TimeoutError:
                continue

    with connected(script) as connection:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            call(connection, timeout_seconds=0.5)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(("code", "error"), [(http2.REFUSED_STREAM, ConnectionLost), (2, RpcError)])
def test_a_broken_off_stream_ends_its_call_alone(code: int, error: type[Exception]) -> None:
    def script(peer: Peer) -> None:
        peer.send(http2.rst_stream(peer.request().stream_id, code))
        peer.serve(1)

    with connected(script) as connection:
        with pytest.raises(error):
            call(connection)
        assert call(connection, b"after") == b"after"


def going_away(last_stream_id: int) -> bytes:
    return http2.frame(http2.GOAWAY, 0, last_stream_id.to_bytes(4) + bytes(4))


def test_a_server_that_goes_away_still_answers_what_it_took() -> None:
    def script(peer: Peer) -> None:
        request = peer.request()
        peer.send(going_away(request.stream_id))
        peer.answer(request)

    with connected(script) as connection:
        assert call(connection) == b"ok"
        assert not connection.has_room(0)
        with pytest.raises(ConnectionLost, match="going away"):
            call(connection)


def test_a_call_that_the_leaving_server_did_not_take_is_lost_at_once() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(going_away(0))

    with connected(script) as connection, pytest.raises(ConnectionLost, match="going away"):
        call(connection)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100),
        http2.frame(http2.PUSH_PROMISE, 1, bytes(8), flags=OPENED),
        http2.frame(http2.CONTINUATION, 1, b"", flags=OPENED),
        http2.frame(http2.HEADERS, 1, b"\x82") + http2.frame(http2.PING, 0, bytes(8)),
        http2.frame(http2.HEADERS, 1, b"\xff\xff\xff\xff\xff", flags=OPENED),
        http2.frame(http2.SETTINGS, 0, b"12345"),
        http2.settings({http2.SETTING_MAX_FRAME_SIZE: 0}),
        http2.settings({http2.SETTING_MAX_FRAME_SIZE: 2**24}),
        http2.settings({http2.SETTING_INITIAL_WINDOW_SIZE: 2**31}),
        http2.frame(http2.RST_STREAM, 1, b"12"),
        http2.frame(http2.GOAWAY, 0, b""),
    ],
)
def test_a_server_that_does_not_keep_to_http2_is_left(nonsense: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(nonsense)
        peer.frame()

    with connected(script) as connection:
        with pytest.raises(ConnectionLost):
            call(connection)
        assert connection.has_ended


class UnconfirmedSocket(socket.socket):
    """One whose peer is gone without a word: the system says so after TCP_USER_TIMEOUT."""

    def recv(self, *_: object) -> bytes:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")


def test_a_peer_that_confirms_nothing_is_a_lost_connection_and_no_slow_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, UnconfirmedSocket() as sock:
        sock.connect(listener.getsockname())
        connection = Connection(sock)

        with pytest.raises(ConnectionLost, match="reading failed: TimeoutError"):
            call(connection)
        assert connection.has_ended


def test_the_end_of_the_connection_is_seen_before_the_next_call() -> None:
    ahead_seconds = 0.0
    with serving(lambda peer: peer.serve(1)) as origin:
        connection = Connection.open(origin, timeout_seconds=5, clock=lambda: time.monotonic() + ahead_seconds)
        assert call(connection) == b"hello"
    ahead_seconds = 2

    assert not connection.has_room(0)
    assert connection.has_ended


# A byte that says that more is to come makes the caller wait: that is what the short time is for.
@settings(max_examples=60)
@given(data=st.data())
def test_a_cut_or_garbled_answer_is_the_right_one_or_an_error(data: st.DataObject) -> None:
    whole = http2.settings({http2.SETTING_MAX_CONCURRENT_STREAMS: 100}) + answer(1, b"the answer")
    cut = data.draw(st.integers(0, len(whole)), label="cut")
    garbled = bytearray(whole[:cut])
    for place in data.draw(st.lists(st.integers(0, max(0, cut - 1)), max_size=2), label="garbled") if cut else []:
        garbled[place] ^= data.draw(st.integers(1, 255), label="with")

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(bytes(garbled))

    with connected(script) as connection:
        started = time.monotonic()
        try:
            answered = call(connection, timeout_seconds=1)
        except (ConnectionLost, RpcError, TimeoutError):
            answered = None
        assert time.monotonic() - started < 3

    if bytes(garbled) == whole:
        assert answered == b"the answer"
