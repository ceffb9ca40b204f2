"""Google's token issuer: it signs as Pub/Sub's tokens are signed, and publishes its certificates over HTTP."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import google.auth.crypt
import google.auth.jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.support.serving import serving

KEY_ID = "k1"
AUDIENCE = "https://worker.example.com"
EMAIL = "push@test-relay.iam.gserviceaccount.com"
REPLACED_SIGNATURE = "SIGNATURE_REMOVED_BY_GOOGLE"


def claims(**changes: Any) -> dict[str, Any]:
    """Return what a genuine token says, but for the changes."""
    now = int(time.time())
    good = {"iss": "https://accounts.google.com", "aud": AUDIENCE, "email": EMAIL, "email_verified": True}
    return {**good, "iat": now, "exp": now + 3_600, **changes}


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
        self._signer = google.auth.crypt.RSASigner.from_string(private, KEY_ID)
        self.fetches = 0
        self.url = ""

    def token(self, key_id: str = KEY_ID, **changes: Any) -> str:
        """Return a signed token; genuine unless something is changed."""
        encoded: bytes = google.auth.jwt.encode(self._signer, claims(**changes), key_id=key_id)
        return encoded.decode()

    def token_behind_cloud_run(self, **changes: Any) -> str:
        """Return a token as Cloud Run's invoker check may hand it to the container: without its signature."""
        return f"{self.token(**changes).rpartition('.')[0]}.{REPLACED_SIGNATURE}"

    def unsigned(self) -> str:
        """Return a token that says it needs no signature."""
        return _self_made("none", lambda _: b"")

    def signed_with_the_certificate(self) -> str:
        """Return a token whose HMAC has the public certificate as its key."""

        def sign(signed: bytes) -> bytes:
            mac = hmac.HMAC(self.certificate.encode(), hashes.SHA256())
            mac.update(signed)
            return mac.finalize()

        return _self_made("HS256", sign)

    @contextmanager
    def published(self) -> Iterator["TokenIssuer"]:
        """Answer on loopback while the block runs."""
        with serving(self._certificates) as self.url:
            yield self

    def _certificates(self, *_: object) -> dict[str, str]:
        self.fetches += 1
        return {KEY_ID: self.certificate}


def _self_made(algorithm: str, sign: Callable[[bytes], bytes]) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "kid": KEY_ID}, claims())]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (signed + b"." + base64.urlsafe_b64encode(sign(signed)).rstrip(b"=")).decode()
