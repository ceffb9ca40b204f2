"""Our client and Google's gRPC server understand each other, plain and over TLS."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import grpc
import pytest

from relay.rpc.channel import Channel, header_block
from relay.rpc.connection import Connection, Origin
from relay.rpc.http2 import ProtocolError
from relay.rpc.status import RpcError, Status
from tests.fakes.grpc_server import Certificate, serving

METHOD = "/test.Shop/Buy"


def buy(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Answer with what was asked, turned round; refuse, or wait, if asked to."""
    if request == b"refuse":
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "sold out: café 100%")
    if request == b"wait":
        released = threading.Event()
        context.add_callback(released.set)
        released.wait(10)
    if request == b"who am I":
        return str(context.peer()).encode()
    if request.endswith(b"digest"):
        return sha256(request.removesuffix(b"digest")).hexdigest().encode()
    if request == b"deadline":
        return str(round(context.time_remaining())).encode()
    return request[::-1]


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate.of("127.0.0.1")


@pytest.fixture(scope="module", params=["plain", "TLS"])
def origin(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Origin]:
    with serving(METHOD, buy, certificate=certificate if request.param == "TLS" else None) as served:
        yield served


@pytest.fixture
def channel(origin: Origin) -> Iterator[Channel]:
    made = Channel(origin, calls_per_connection=1)
    yield made
    made.close()


def call(channel: Channel, message: bytes, *, timeout_seconds: float = 10, method: str = METHOD) -> bytes:
    headers = [
        (":method", "POST"),
        (":scheme", "http" if channel.origin.tls is None else "https"),
        (":path", method),
        (":authority", channel.origin.authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    return channel.call(header_block(headers), message, timeout_seconds=timeout_seconds)


@pytest.mark.parametrize("message", [b"", b"one shirt", b"x" * 100_000, bytes(range(256)) * 3_900])
def test_a_message_is_answered(channel: Channel, message: bytes) -> None:
    assert call(channel, message) == message[::-1]


def test_a_message_of_the_largest_size_arrives_whole(channel: Channel) -> None:
    message = bytes(range(256)) * 39_000  # Pub/Sub takes 10 MB.

    assert call(channel, message + b"digest") == sha256(message).hexdigest().encode()


def test_many_calls_use_one_connection(channel: Channel) -> None:
    peers = set()
    for number in range(2_000):
        message = f"{number:04}".encode() * 250
        assert call(channel, message) == message[::-1]
        if number % 100 == 0:
            peers.add(call(channel, b"who am I"))

    assert len(peers) == 1


def test_a_refusal_has_its_status_and_its_text(channel: Channel) -> None:
    with pytest.raises(RpcError) as raised:
        call(channel, b"refuse")

    assert raised.value.status is Status.RESOURCE_EXHAUSTED
    assert str(raised.value) == "RESOURCE_EXHAUSTED: sold out: café 100%"


def test_an_unknown_method_is_unimplemented(channel: Channel) -> None:
    with pytest.raises(RpcError) as raised:
        call(channel, b"x", method="/test.Shop/Steal")

    assert raised.value.status is Status.UNIMPLEMENTED


def test_a_slow_server_is_given_up_in_time_and_told_so(channel: Channel) -> None:
    before = call(channel, b"who am I")
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        call(channel, b"wait", timeout_seconds=0.3)

    assert time.monotonic() - started < 2
    assert call(channel, b"who am I") == before


def test_the_server_is_told_how_long_somebody_waits(channel: Channel) -> None:
    assert call(channel, b"deadline", timeout_seconds=7) == b"7"


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Certificate) -> None:
    with serving(METHOD, buy, certificate=certificate) as origin, pytest.raises(ssl.SSLCertVerificationError):
        Connection.open(replace(origin, tls=Certificate.of("127.0.0.1").trusted()), timeout_seconds=5)


def test_a_certificate_of_another_host_is_refused() -> None:
    elsewhere = Certificate.of("shop.example.com")
    with serving(METHOD, buy, certificate=elsewhere) as origin, pytest.raises(ssl.SSLCertVerificationError):
        Connection.open(origin, timeout_seconds=5)


def test_a_tls_server_without_http2_is_refused(
    certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(certificate.key + certificate.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with context.wrap_socket(sock, server_side=True) as secured:
                secured.settimeout(5)
                secured.recv(1)

        server = threading.Thread(target=serve)
        server.start()
        origin = Origin("127.0.0.1", listener.getsockname()[1], tls=certificate.trusted())
        with pytest.raises(ProtocolError, match="does not speak HTTP/2"):
            Connection.open(origin, timeout_seconds=5)
        server.join(5)
