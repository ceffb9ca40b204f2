"""Google's token issuer: it signs as Pub/Sub's tokens are signed, and publishes its certificates over HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google.auth.crypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

KEY_ID = "k1"


class TokenIssuer:
    """A key pair made for the test; `fetches` counts how often its certificates were asked for."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test issuer")])
        now = datetime.now(UTC)
        day = timedelta(days=1)
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        encoding = serialization.Encoding.PEM
        self.certificate = builder.sign(key, hashes.SHA256()).public_bytes(encoding).decode()
        private = key.private_bytes(
            encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        self.signer = google.auth.crypt.RSASigner.from_string(private, KEY_ID)
        self.fetches = 0
        self.url = ""

    @contextmanager
    def published(self) -> Iterator["TokenIssuer"]:
        """Answer on loopback while the block runs."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                answer = json.dumps({KEY_ID: issuer.certificate}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/certs"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
