"""The access token is renewed in time, by one request, and never waited for longer than that request can."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.auth import compute_engine, exceptions
from google.auth.credentials import Credentials
from google.auth.transport.requests import Request

from relay.errors import ConfigurationError, PublishUnavailable
from relay.pubsub.access_token import PAUSE_SECONDS, RENEW_SECONDS, AccessToken
from tests.fakes.serving import Reply, serving_requests
from tests.wait import wait_until

STALE_SECONDS, FRESH_SECONDS = 60, 3_600  # google-auth calls a token stale that ends within 225 s.


class TestCredentials(Credentials):
    """Gives out numbered tokens, as told."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # google-auth has no types
        self.lifetime_seconds = FRESH_SECONDS
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.renewals = 0

    def refresh(self, request: object) -> None:
        del request
        self.renewals += 1
        self.gate.wait(5)
        if self.failure is not None:
            raise self.failure
        self.token = f"test-token-{self.renewals}"
        self.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=self.lifetime_seconds)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def credentials() -> TestCredentials:
    return TestCredentials()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def token(credentials: TestCredentials, clock: Clock) -> AccessToken:
    return AccessToken(credentials, Request(), clock=clock)


def shown(token: AccessToken, timeout_seconds: float = 5) -> str:
    ((name, value),) = token.headers(timeout_seconds=timeout_seconds)
    assert name == "authorization"
    return value.removeprefix("Bearer ")


def test_a_fresh_token_is_used_again(token: AccessToken, credentials: TestCredentials) -> None:
    assert [shown(token), shown(token)] == ["test-token-1"] * 2
    assert token.headers(timeout_seconds=1) is token.headers(timeout_seconds=1)
    assert credentials.renewals == 1


def test_while_one_request_renews_a_token_that_still_holds_the_others_go_on(
    token: AccessToken, credentials: TestCredentials
) -> None:
    credentials.lifetime_seconds = STALE_SECONDS
    shown(token)
    credentials.gate.clear()

    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(shown, token)
        wait_until(lambda: credentials.renewals == 2, within=5)
        assert shown(token) == "test-token-1"
        credentials.gate.set()
        assert renewing.result() == "test-token-2"


def test_a_token_that_still_holds_outlives_a_failed_renewal(token: AccessToken, credentials: TestCredentials) -> None:
    credentials.lifetime_seconds = STALE_SECONDS
    shown(token)
    credentials.failure = exceptions.RefreshError("no metadata server")

    assert shown(token) == "test-token-1"
    assert credentials.renewals == 2


def test_without_a_token_the_reason_is_told_and_the_next_try_waits(
    token: AccessToken, credentials: TestCredentials, clock: Clock
) -> None:
    credentials.failure = exceptions.RefreshError("no metadata server")
    for _ in range(3):
        with pytest.raises(PublishUnavailable, match="no access token for Pub/Sub: RefreshError: no metadata server"):
            shown(token)
    assert credentials.renewals == 1

    credentials.failure = None
    clock.seconds += PAUSE_SECONDS

    assert shown(token) == "test-token-2"


def test_whatever_goes_wrong_is_told_in_one_line(token: AccessToken, credentials: TestCredentials) -> None:
    credentials.failure = KeyError("access_token\nof the metadata server")

    with pytest.raises(PublishUnavailable, match="KeyError") as raised:
        shown(token, timeout_seconds=-1)

    assert "\n" not in str(raised.value)


def test_all_that_have_no_token_wait_for_one_renewal(token: AccessToken, credentials: TestCredentials) -> None:
    credentials.gate.clear()

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(shown, token) for _ in range(8)]
        wait_until(lambda: credentials.renewals == 1, within=5)
        with pytest.raises(PublishUnavailable, match="another request waits for it already"):
            shown(token, timeout_seconds=0.05)
        credentials.gate.set()
        assert {future.result() for future in waiting} == {"test-token-1"}

    assert credentials.renewals == 1


def test_a_refused_token_is_forgotten(token: AccessToken) -> None:
    refused = token.headers(timeout_seconds=5)
    token.forget(refused)
    assert shown(token) == "test-token-2"

    token.forget(refused)  # By another request, which had it too.
    assert shown(token) == "test-token-2"


def test_a_metadata_server_that_fails_is_not_asked_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_requests(lambda _: Reply({}, status=503)) as url:
        monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", url.removeprefix("http://"))
        token = AccessToken(compute_engine.Credentials(), Request())
        started = time.monotonic()
        with pytest.raises(PublishUnavailable, match="no access token"):
            token.headers(timeout_seconds=1)

    assert time.monotonic() - started < RENEW_SECONDS + 4


def test_no_credentials_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    with pytest.raises(ConfigurationError, match="gcloud auth application-default login") as raised:
        AccessToken.of_the_environment()

    assert "\n" not in str(raised.value)
