"""`PUSH_AUTH=iam`: Cloud Run has verified the token's signature, and the worker checks what the token claims."""

import time

import pytest

from relay.errors import AuthenticationError, ConfigurationError
from relay.settings.worker import PushAuth, WorkerSettings
from relay.worker.auth import CertificateCache, OidcAuthenticator, authenticate_headers
from relay.worker.invoker import InvokerAuthenticator
from tests.support.token_issuer import AUDIENCE, EMAIL, KEY_ID, TokenIssuer

A_DAY_SECONDS = 86_400  # The tokens are made when the tests are collected; some run a quarter of an hour later.
ISSUER = TokenIssuer()


def status_of(authorization: str | None) -> int:
    try:
        InvokerAuthenticator(audience=AUDIENCE, service_account=EMAIL)(authorization)
    except AuthenticationError as error:
        return error.status
    return 204


@pytest.mark.parametrize("token", [ISSUER.token(), ISSUER.token_behind_cloud_run(), ISSUER.token(key_id="unknown")])
def test_a_token_that_cloud_run_let_in_is_let_in_whatever_its_signature(token: str) -> None:
    assert status_of(f"Bearer {token}") == 204


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"exp": int(time.time()) - A_DAY_SECONDS}, 401),
        ({"exp": None}, 401),
        ({"exp": "soon"}, 401),
        ({"exp": float("inf")}, 401),
        ({"iat": int(time.time()) + A_DAY_SECONDS}, 401),
        ({"nbf": int(time.time()) + A_DAY_SECONDS}, 401),
        ({"aud": "https://other.example.com"}, 401),
        ({"aud": None}, 401),
        ({"iss": "https://issuer.example.com"}, 401),
        ({"email": "other@test-relay.iam.gserviceaccount.com"}, 403),
        ({"email": None}, 403),
        ({"email_verified": False}, 403),
        ({"email_verified": "true"}, 403),
    ],
)
def test_claims_that_are_not_the_subscriptions_are_refused(changes: dict[str, object], status: int) -> None:
    assert status_of(f"Bearer {ISSUER.token_behind_cloud_run(**changes)}") == status


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer a.b.c", "Bearer é.é.é", "Bearer bnVsbA.bnVsbA.x"],
)
def test_no_readable_token_is_a_401(authorization: str | None) -> None:
    assert status_of(authorization) == 401


@pytest.mark.parametrize(
    ("push_auth", "checked"),
    [(PushAuth.IAM, ["in the other", "in the usual one"]), (PushAuth.OIDC, ["in the usual one"])],
)
def test_under_iam_each_header_that_may_hold_the_token_is_checked(push_auth: PushAuth, checked: list[str]) -> None:
    seen: list[str | None] = []
    both = {"Authorization": "in the usual one", "X-Serverless-Authorization": "in the other"}

    authenticate_headers(seen.append, both, push_auth)
    authenticate_headers(seen.append, {"Authorization": "alone"}, push_auth)
    authenticate_headers(seen.append, {}, push_auth)

    assert seen == [*checked, "alone", None]


def test_oidc_says_what_to_set_where_cloud_run_has_replaced_the_signature() -> None:
    certificates = CertificateCache(lambda: {KEY_ID: ISSUER.certificate})
    oidc = OidcAuthenticator(audience=AUDIENCE, service_account=EMAIL, certificates=certificates)

    with pytest.raises(AuthenticationError, match="set PUSH_AUTH=iam") as refused:
        oidc(f"Bearer {ISSUER.token_behind_cloud_run()}")

    assert refused.value.status == 401


@pytest.mark.parametrize("missing", ["PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT", "K_SERVICE"])
def test_iam_does_not_start_without_what_it_compares_or_without_cloud_run(missing: str) -> None:
    environ = {
        "GOOGLE_CLOUD_PROJECT": "test-relay",
        "PUBSUB_DEAD_LETTER_TOPIC": "dead-letters",
        "PUSH_AUTH": "iam",
        "PUSH_AUDIENCE": AUDIENCE,
        "PUSH_SERVICE_ACCOUNT": EMAIL,
        "K_SERVICE": "onestock-worker",
    }
    WorkerSettings.from_environ(environ)
    del environ[missing]

    with pytest.raises(
        ConfigurationError, match=f"PUSH_AUTH: iam.*{'Cloud Run' if missing == 'K_SERVICE' else missing}"
    ):
        WorkerSettings.from_environ(environ)
