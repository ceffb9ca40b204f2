"""Google's own gRPC server with one method, on loopback: what our client has to get on with."""

import ipaddress
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay.rpc.connection import Origin

Serve = Callable[[bytes, grpc.ServicerContext], bytes]


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

    def trusted(self) -> ssl.SSLContext:
        """Return a client's settings that trust this certificate and offer HTTP/2."""
        context = ssl.create_default_context(cadata=self.certificate.decode())
        context.set_alpn_protocols(["h2"])
        return context


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@contextmanager
def serving(method: str, serve: Serve, *, certificate: Certificate | None = None) -> Iterator[Origin]:
    """Run the server; over TLS if there is a certificate, which the origin then trusts."""
    handler = grpc.unary_unary_rpc_method_handler(serve)
    service, _, name = method.strip("/").rpartition("/")
    handlers = [grpc.method_handlers_generic_handler(service, {name: handler})]
    server = grpc.server(ThreadPoolExecutor(16), handlers=handlers, options=[("grpc.max_receive_message_length", -1)])
    if certificate is None:
        origin = Origin("127.0.0.1", server.add_insecure_port("127.0.0.1:0"))
    else:
        credentials = grpc.ssl_server_credentials([(certificate.key, certificate.certificate)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        origin = Origin("127.0.0.1", port, tls=certificate.trusted())
    server.start()
    try:
        yield origin
    finally:
        server.stop(grace=None).wait()
