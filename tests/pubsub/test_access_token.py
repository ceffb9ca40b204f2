"""There is a valid token or a reason why not, in time, whatever the token server does."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.oauth2 import service_account

from relay.errors import ConfigurationError, PublishError
from relay.message import Message
from relay.pubsub.access_token import AccessToken, NoAccessToken
from relay.pubsub.publisher import CHANNEL_OPTIONS, PubSubPublisher, connected
from relay.settings.base import PubSubSettings
from tests.support.pubsub_server import Call, PubSubServer, refusing
from tests.support.token_server import TokenServer
from tests.support.waiting import wait_until

TOPIC = "projects/test-relay/topics/events"
MESSAGE = Message(data=b"{}")


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with TokenServer().running() as server:
        yield server


@pytest.fixture
def token(tokens: TokenServer, tmp_path: Path) -> AccessToken:
    account = tokens.write_account(tmp_path / "account.json")
    scopes = ["https://www.googleapis.com/auth/pubsub"]
    return AccessToken(lambda: service_account.Credentials.from_service_account_file(str(account), scopes=scopes))


@pytest.fixture
def server() -> Iterator[PubSubServer]:
    with PubSubServer().running() as server:
        yield server


@pytest.fixture
def publisher(server: PubSubServer, token: AccessToken) -> Iterator[PubSubPublisher]:
    open_channel = lambda: grpc.insecure_channel(server.host, options=CHANNEL_OPTIONS)  # noqa: E731 - as main hands it over
    publisher = PubSubPublisher(TOPIC, open_channel, token=token)
    yield publisher
    publisher.close()


def given(token: AccessToken, within_seconds: float = 5) -> str:
    return dict(token.headers(within_seconds=within_seconds))["authorization"]


def test_many_callers_share_one_token(token: AccessToken, tokens: TokenServer) -> None:
    with ThreadPoolExecutor(16) as pool:
        seen = set(pool.map(lambda _: given(token), range(100)))

    assert seen == {"Bearer test-token-1"}
    assert tokens.asked == 1


def test_a_silent_token_server_holds_nobody_longer_than_asked_and_is_asked_once(
    token: AccessToken, tokens: TokenServer
) -> None:
    tokens.answering.clear()
    started = time.monotonic()

    def wait(_: int) -> None:
        with pytest.raises(NoAccessToken, match="has not answered yet"):
            token.headers(within_seconds=0.5)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(wait, range(16)))
    seconds = time.monotonic() - started
    tokens.answering.set()

    assert seconds < 1.5
    assert given(token) == "Bearer test-token-1"
    assert tokens.asked == 1


def test_a_token_about_to_expire_is_used_while_the_token_server_is_silent(
    token: AccessToken, tokens: TokenServer
) -> None:
    tokens.lifetime_seconds = 60
    first = given(token)
    tokens.answering.clear()
    seconds: list[float] = []

    def is_renewing() -> bool:
        started = time.monotonic()
        assert given(token) == first
        seconds.append(time.monotonic() - started)
        return tokens.asked == 2

    wait_until(is_renewing, within=5)
    tokens.answering.set()

    assert wait_until(lambda: given(token) != first, within=5)
    assert max(seconds) < 0.5


def test_a_token_server_that_refuses_is_the_reason(token: AccessToken, tokens: TokenServer) -> None:
    tokens.status = 400

    with pytest.raises(NoAccessToken, match=r"RefreshError.*invalid_grant"):
        token.headers(within_seconds=5)


def test_a_refused_token_is_renewed_within_the_same_publish(
    publisher: PubSubPublisher, server: PubSubServer, tokens: TokenServer
) -> None:
    refuse = refusing(grpc.StatusCode.UNAUTHENTICATED, "revoked")

    def refuse_first(call: Call, context: grpc.ServicerContext) -> None:
        if call.authorization == "Bearer test-token-1":
            refuse(call, context)

    server.behaviours = [refuse_first]

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: publisher.publish(MESSAGE, budget_seconds=5), range(8)))

    assert len(set(ids)) == 8
    assert tokens.asked == 2


def test_a_pubsub_that_refuses_every_token_does_not_make_a_storm_at_the_token_server(
    publisher: PubSubPublisher, server: PubSubServer, tokens: TokenServer
) -> None:
    server.behaviours = [refusing(grpc.StatusCode.UNAUTHENTICATED, "invented reason")]

    with ThreadPoolExecutor(8) as pool:
        ended = [pool.submit(publisher.publish, MESSAGE, budget_seconds=3) for _ in range(8)]

    assert {type(publish.exception()) for publish in ended} == {PublishError}
    assert 2 <= tokens.asked <= 5


def test_a_start_without_credentials_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    settings = PubSubSettings.from_environ({"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_ENDPOINT": "127.0.0.1:1"})

    with pytest.raises(ConfigurationError, match="gcloud auth application-default login"):
        connected(TOPIC, settings)
