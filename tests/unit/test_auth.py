"""Only tokens that Pub/Sub signs for our subscription are let in; certificates are fetched once a minute at most."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import google.auth.crypt
import google.auth.jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from relay.errors import AuthenticationError
from relay.worker.auth import CertificateCache, OidcAuthenticator

AUDIENCE = "https://worker.example.com"
EMAIL = "push@test-relay.iam.gserviceaccount.com"


def make_issuer() -> tuple[google.auth.crypt.RSASigner, str]:
    """Return a signer with the key id `k1`, and its certificate in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test issuer")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return google.auth.crypt.RSASigner.from_string(private, "k1"), certificate


SIGNER, CERTIFICATE = make_issuer()
STRANGER, _ = make_issuer()


class Issuer:
    """Publishes the certificates, and counts how often they were asked for; `now` is the cache's clock."""

    def __init__(self) -> None:
        self.fetches = 0
        self.is_gone = False
        self.now = 0.0

    def fetch(self) -> Mapping[str, str]:
        self.fetches += 1
        if self.is_gone:
            raise OSError("no route")
        return {"k1": CERTIFICATE}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def authenticate(issuer: Issuer) -> OidcAuthenticator:
    certificates = CertificateCache(issuer.fetch, clock=lambda: issuer.now)
    return OidcAuthenticator(audience=AUDIENCE, service_account=EMAIL, certificates=certificates)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": "https://accounts.google.com", "aud": AUDIENCE, "email": EMAIL, "email_verified": True}
    return {**good, "iat": now, "exp": now + 3600, **changes}


def token(signer: google.auth.crypt.RSASigner = SIGNER, key_id: str = "k1", **changes: Any) -> str:
    encoded: bytes = google.auth.jwt.encode(signer, claims(**changes), key_id=key_id)
    return encoded.decode()


def self_made(algorithm: str, sign: Callable[[bytes], bytes]) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "kid": "k1"}, claims())]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (signed + b"." + base64.urlsafe_b64encode(sign(signed)).rstrip(b"=")).decode()


def hmac_with_the_certificate(signed: bytes) -> bytes:
    mac = hmac.HMAC(CERTIFICATE.encode(), hashes.SHA256())
    mac.update(signed)
    return mac.finalize()


def status_of(authenticate: OidcAuthenticator, authorization: str | None) -> int:
    try:
        authenticate(authorization)
    except AuthenticationError as error:
        return error.status
    return 204


def test_the_token_of_our_subscription_is_let_in(authenticate: OidcAuthenticator, issuer: Issuer) -> None:
    statuses = [status_of(authenticate, f"Bearer {token()}") for _ in range(3)]

    assert statuses == [204, 204, 204]
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    ("forged", "status"),
    [
        (self_made("none", lambda _: b""), 401),
        (self_made("HS256", hmac_with_the_certificate), 401),
        (token(STRANGER), 401),
        (token(key_id="unknown"), 401),
        (token(iss="https://issuer.example.com"), 401),
        (token(aud="https://other.example.com"), 401),
        (token(exp=int(time.time()) - 60), 401),
        (token(iat=int(time.time()) + 600), 401),
        (token(nbf=int(time.time()) + 600), 401),
        (token(iat="soon"), 401),
        (token(nbf="soon"), 401),
        (token(email="other@test-relay.iam.gserviceaccount.com"), 403),
        (token(email_verified=False), 403),
        (token(email_verified="true"), 403),
        ("a.b.c", 401),
        ("é" * 100, 401),
        ("x" * 100_000, 401),
    ],
)
def test_a_forged_token_is_refused(authenticate: OidcAuthenticator, forged: str, status: int) -> None:
    assert status_of(authenticate, f"Bearer {forged}") == status


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic abc", "Bearer "])
def test_no_token_is_a_401(authenticate: OidcAuthenticator, authorization: str | None) -> None:
    assert status_of(authenticate, authorization) == 401


def test_a_thousand_key_ids_cause_one_fetch_a_minute(authenticate: OidcAuthenticator, issuer: Issuer) -> None:
    statuses = {status_of(authenticate, f"Bearer {token(key_id=f'k-{number}')}") for number in range(1_000)}
    within_the_minute = issuer.fetches
    issuer.now += 61
    status_of(authenticate, f"Bearer {token(key_id='k-again')}")

    assert statuses == {401}
    assert (within_the_minute, issuer.fetches) == (1, 2)


def test_certificates_that_cannot_be_had_are_a_503(authenticate: OidcAuthenticator, issuer: Issuer) -> None:
    issuer.is_gone = True
    without = status_of(authenticate, f"Bearer {token()}")
    issuer.is_gone = False
    issuer.now += 61

    assert without == 503
    assert status_of(authenticate, f"Bearer {token()}") == 204


def test_old_certificates_outlive_an_outage_of_the_issuer(authenticate: OidcAuthenticator, issuer: Issuer) -> None:
    status_of(authenticate, f"Bearer {token()}")
    issuer.is_gone = True
    issuer.now += 10_000

    assert status_of(authenticate, f"Bearer {token(sub='another')}") == 204
