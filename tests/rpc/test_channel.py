"""Connections are opened as needed, kept, and replaced without the caller noticing."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from relay.local.processes import free_port
from relay.rpc import http2
from relay.rpc.channel import Channel, header_block
from relay.rpc.connection import IDLE_SECONDS, Origin
from relay.rpc.status import ConnectionLost
from tests.fakes.grpc_server import serving as serving_grpc
from tests.fakes.http2_server import Peer, serving

METHOD = "/test.Shop/Buy"
HEADERS = header_block(
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", METHOD),
        (":authority", "shop"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
)


class Clock:
    """The time, and what a test adds to it."""

    ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def channel_to(*scripts: Callable[[Peer], None], clock: Callable[[], float] = time.monotonic) -> Iterator[Channel]:
    with serving(*scripts) as origin:
        channel = Channel(origin, calls_per_connection=1, clock=clock)
        try:
            yield channel
        finally:
            channel.close()


def call(channel: Channel, message: bytes = b"hello", timeout_seconds: float = 5) -> bytes:
    return channel.call(HEADERS, message, timeout_seconds=timeout_seconds)


def serve_one(peer: Peer) -> None:
    peer.serve(1)


def wait_for_the_end(peer: Peer) -> None:
    with pytest.raises(EOFError):
        peer.frame_of(http2.PUSH_PROMISE)  # Which no client sends.


def take_one_and_leave(peer: Peer) -> None:
    peer.request()


def test_a_connection_that_was_closed_while_idle_is_replaced(clock: Clock) -> None:
    with channel_to(serve_one, serve_one, clock=clock) as channel:
        assert call(channel, b"first") == b"first"
        clock.ahead_seconds += 2
        assert call(channel, b"second") == b"second"
        assert len(channel._calls) == 1  # noqa: SLF001 - no other sign of what is kept


def test_a_call_that_a_kept_connection_loses_is_made_again_on_a_new_one() -> None:
    def serve_one_and_lose_one(peer: Peer) -> None:
        peer.serve(1)
        peer.request()

    with channel_to(serve_one_and_lose_one, serve_one) as channel:
        assert call(channel, b"first") == b"first"
        assert call(channel, b"second") == b"second"


def test_a_server_that_ended_all_kept_connections_is_called_over_a_new_one() -> None:
    all_ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        peers = [Peer(listener.accept()[0]) for _ in range(2)]
        for peer, request in [(peer, peer.request()) for peer in peers]:
            peer.answer(request)
        for peer in peers:
            peer.sock.close()
        all_ended.set()
        with listener.accept()[0] as sock:
            Peer(sock).serve(1)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(3) as pool:
        served = pool.submit(serve, listener)
        channel = Channel(Origin("127.0.0.1", listener.getsockname()[1]), calls_per_connection=1)
        assert list(pool.map(lambda _: call(channel), range(2))) == [b"ok", b"ok"]
        assert all_ended.wait(5)
        assert call(channel, b"after") == b"after"
        served.result()
        channel.close()


def test_a_call_that_a_new_connection_loses_is_lost() -> None:
    with channel_to(take_one_and_leave) as channel, pytest.raises(ConnectionLost):
        call(channel)


def test_after_the_server_said_that_it_goes_the_next_call_has_a_new_connection() -> None:
    def serve_one_and_go(peer: Peer) -> None:
        peer.serve(1)
        peer.send(http2.frame(http2.GOAWAY, 0, (1).to_bytes(4) + bytes(4)))
        wait_for_the_end(peer)

    with channel_to(serve_one_and_go, serve_one) as channel:
        assert call(channel, b"first") == b"first"
        assert call(channel, b"second") == b"second"


def test_a_connection_that_was_silent_for_long_is_not_trusted(clock: Clock) -> None:
    opened: list[Peer] = []

    def serve_one_and_stay(peer: Peer) -> None:
        opened.append(peer)
        peer.serve(1)
        wait_for_the_end(peer)

    with channel_to(serve_one_and_stay, serve_one, clock=clock) as channel:
        assert call(channel, b"first") == b"first"
        clock.ahead_seconds += IDLE_SECONDS + 1
        assert call(channel, b"second") == b"second"

    assert len(opened) == 1


def test_nobody_listening_is_an_error_at_once() -> None:
    channel = Channel(Origin("127.0.0.1", free_port()), calls_per_connection=1)

    with pytest.raises(ConnectionRefusedError):
        call(channel)


def test_the_time_for_a_call_bounds_the_opening_too() -> None:
    silent = threading.Event()

    def say_nothing(peer: Peer) -> None:
        silent.wait(5)
        assert peer.sock

    with channel_to(say_nothing) as channel:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            call(channel, timeout_seconds=0.3)
        assert time.monotonic() - started < 2
        silent.set()


def test_each_thread_has_a_connection_and_they_are_used_again() -> None:
    together = threading.Barrier(8)
    peers: Counter[str] = Counter()

    def serve(request: bytes, context: grpc.ServicerContext) -> bytes:
        if request == b"all at once":
            together.wait(5)
        peers[context.peer()] += 1
        return request

    with serving_grpc(METHOD, serve) as origin:
        channel = Channel(origin, calls_per_connection=1)
        with ThreadPoolExecutor(8) as pool:
            for _ in range(5):
                assert set(pool.map(lambda _: call(channel, b"all at once"), range(8))) == {b"all at once"}
            assert call(channel, b"alone") == b"alone"
        channel.close()

    assert len(peers) == 8
    assert peers.total() == 41
