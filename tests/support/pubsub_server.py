"""Pub/Sub's Publish call on Google's own gRPC server, on loopback, with or without TLS: it answers as it is told."""

import ipaddress
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.pubsub_v1 import PublishRequest, PublishResponse

SERVICE, METHOD = "google.pubsub.v1.Publisher", "Publish"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate and its key, both in PEM."""

    certificate: bytes
    key: bytes

    @classmethod
    def of(cls, host: str) -> "Certificate":
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([_name(host)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(made.public_bytes(serialization.Encoding.PEM), private)


@dataclass(frozen=True, slots=True)
class Call:
    """One Publish call that arrived."""

    request: PublishRequest
    peer: str
    metadata: dict[str, str]

    @property
    def authorization(self) -> str:
        """The header with the access token; empty where there is none."""
        return self.metadata.get("authorization", "")


@dataclass
class PubSubServer:
    """Keeps each call; `behaviours` are what the next calls do before they are answered, the last one for good."""

    calls: list[Call] = field(default_factory=list)
    behaviours: list[Callable[[Call, grpc.ServicerContext], None]] = field(default_factory=list)
    host: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = {name: str(value) for name, value in context.invocation_metadata()}
        call = Call(PublishRequest.deserialize(data), str(context.peer()), metadata)
        with self._lock:
            self.calls.append(call)
            number = len(self.calls)
            behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else next(iter(self.behaviours), None)
        if behaviour is not None:
            behaviour(call, context)
        answer: bytes = PublishResponse.serialize(PublishResponse(message_ids=[f"m-{number}"]))
        return answer

    @property
    def peers(self) -> list[str]:
        """The connections that the calls came on, in their order."""
        return list(dict.fromkeys(call.peer for call in self.calls))

    @contextmanager
    def running(self, certificate: Certificate | None = None) -> Iterator["PubSubServer"]:
        """Serve on a free port; over TLS if there is a certificate."""
        handler = grpc.unary_unary_rpc_method_handler(self.publish)
        handlers = [grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})]
        options = [("grpc.max_receive_message_length", -1)]
        server = grpc.server(ThreadPoolExecutor(32), handlers=handlers, options=options)
        if certificate is None:
            self.host = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        else:
            credentials = grpc.ssl_server_credentials([(certificate.key, certificate.certificate)])
            self.host = f"localhost:{server.add_secure_port('127.0.0.1:0', credentials)}"
        server.start()
        try:
            yield self
        finally:
            server.stop(grace=None).wait()


def refusing(code: grpc.StatusCode, text: str = "invented") -> Callable[[Call, grpc.ServicerContext], None]:
    """Return the behaviour of a Pub/Sub that answers with an error."""

    def refuse(_: Call, context: grpc.ServicerContext) -> None:
        context.abort(code, text)

    return refuse


def accepting(_: Call, __: grpc.ServicerContext) -> None:
    """Answer with a message id."""


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
