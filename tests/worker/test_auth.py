"""Only tokens that Pub/Sub signs for our subscription are let in, and forged ones cannot make us flood the issuer."""

import time
from collections.abc import Mapping

import pytest

from relay.errors import AuthenticationError
from relay.worker.auth import CertificateCache, OidcAuthenticator
from tests.support.token_issuer import AUDIENCE, EMAIL, KEY_ID, TokenIssuer

A_DAY_SECONDS = 86_400  # The tokens are made when the tests are collected; some run a quarter of an hour later.
SIGNER = TokenIssuer()
STRANGER = TokenIssuer()


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
        return {KEY_ID: SIGNER.certificate}


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def authenticate(issuer: Issuer) -> OidcAuthenticator:
    certificates = CertificateCache(issuer.fetch, clock=lambda: issuer.now)
    return OidcAuthenticator(audience=AUDIENCE, service_account=EMAIL, certificates=certificates)


def status_of(authenticate: OidcAuthenticator, authorization: str | None) -> int:
    try:
        authenticate(authorization)
    except AuthenticationError as error:
        return error.status
    return 204


def test_the_token_of_our_subscription_is_let_in(authenticate: OidcAuthenticator, issuer: Issuer) -> None:
    statuses = [status_of(authenticate, f"Bearer {SIGNER.token()}") for _ in range(3)]

    assert statuses == [204, 204, 204]
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    ("forged", "status"),
    [
        (SIGNER.unsigned(), 401),
        (SIGNER.signed_with_the_certificate(), 401),
        (STRANGER.token(), 401),
        (SIGNER.token(key_id="unknown"), 401),
        (SIGNER.token(iss="https://issuer.example.com"), 401),
        (SIGNER.token(aud="https://other.example.com"), 401),
        (SIGNER.token(exp=int(time.time()) - 60), 401),
        (SIGNER.token(iat=int(time.time()) + A_DAY_SECONDS), 401),
        (SIGNER.token(nbf=int(time.time()) + A_DAY_SECONDS), 401),
        (SIGNER.token(iat="soon"), 401),
        (SIGNER.token(nbf="soon"), 401),
        (SIGNER.token(email="other@test-relay.iam.gserviceaccount.com"), 403),
        (SIGNER.token(email_verified=False), 403),
        (SIGNER.token(email_verified="true"), 403),
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
    statuses = {status_of(authenticate, f"Bearer {SIGNER.token(key_id=f'k-{number}')}") for number in range(1_000)}
    within_the_minute = issuer.fetches
    issuer.now += 61
    status_of(authenticate, f"Bearer {SIGNER.token(key_id='k-again')}")

    assert statuses == {401}
    assert (within_the_minute, issuer.fetches) == (1, 2)


def test_certificates_that_cannot_be_had_are_a_503(authenticate: OidcAuthenticator, issuer: Issuer) -> None:
    issuer.is_gone = True
    without = status_of(authenticate, f"Bearer {SIGNER.token()}")
    issuer.is_gone = False
    at_once = status_of(authenticate, f"Bearer {SIGNER.token()}")
    issuer.now += 1

    assert (without, at_once) == (503, 503)
    assert status_of(authenticate, f"Bearer {SIGNER.token()}") == 204


def test_without_any_certificate_the_issuer_is_asked_once_a_second_at_most(
    authenticate: OidcAuthenticator, issuer: Issuer
) -> None:
    issuer.is_gone = True

    for _ in range(50):
        status_of(authenticate, f"Bearer {SIGNER.token()}")
        issuer.now += 0.1

    assert issuer.fetches == 5


def test_old_certificates_outlive_an_outage_of_the_issuer(authenticate: OidcAuthenticator, issuer: Issuer) -> None:
    status_of(authenticate, f"Bearer {SIGNER.token()}")
    issuer.is_gone = True
    issuer.now += 10_000

    assert status_of(authenticate, f"Bearer {SIGNER.token(sub='another')}") == 204
