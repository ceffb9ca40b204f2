"""A publisher starts in time and publishes with a valid token, whatever the token server does."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import google.auth.transport.requests
import grpc
import pytest
from google.auth.credentials import TokenState
from google.auth.exceptions import RefreshError

from relay.errors import ConfigurationError
from relay.message import Message
from relay.pubsub.credentials import EnvironmentCredentials
from relay.pubsub.publisher import CHANNEL_OPTIONS, PubSubPublisher, connected
from relay.settings.base import PubSubSettings
from tests.support.pubsub_server import PubSubServer, accepting, refusing
from tests.support.token_server import TokenServer

TOPIC = "projects/test-relay/topics/events"
MESSAGE = Message(data=b"{}")


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with TokenServer().running() as server:
        yield server


@pytest.fixture
def credentials(tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvironmentCredentials:
    account = tokens.write_account(tmp_path / "account.json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    return EnvironmentCredentials()


def test_the_first_token_is_there_after_the_start(credentials: EnvironmentCredentials, tokens: TokenServer) -> None:
    credentials.get_first_token(within_seconds=5)

    assert (credentials.token, credentials.token_state, tokens.asked) == ("test-token-1", TokenState.FRESH, 1)


def test_a_silent_token_server_does_not_hold_the_start_and_its_late_answer_is_used(
    credentials: EnvironmentCredentials, tokens: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    tokens.answering.clear()
    started = time.monotonic()

    credentials.get_first_token(within_seconds=0.5)
    seconds = time.monotonic() - started
    tokens.answering.set()
    credentials.refresh(google.auth.transport.requests.Request())

    assert seconds < 5
    assert "no access token for Pub/Sub: no answer of the token server within 0.5 s" in caplog.text
    assert credentials.token_state is TokenState.FRESH


def test_a_token_server_that_refuses_is_told_at_the_start(
    credentials: EnvironmentCredentials, tokens: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    tokens.status = 400

    credentials.get_first_token(within_seconds=5)

    assert "no access token for Pub/Sub: RefreshError" in caplog.text
    with pytest.raises(RefreshError, match="invalid_grant"):
        credentials.refresh(google.auth.transport.requests.Request())


def test_a_start_without_credentials_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    settings = PubSubSettings.from_environ({"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_ENDPOINT": "127.0.0.1:1"})

    with pytest.raises(ConfigurationError, match="gcloud auth application-default login"):
        connected(TOPIC, settings)


def test_a_refused_token_is_forgotten_and_the_publish_tried_again(
    credentials: EnvironmentCredentials,
) -> None:
    credentials.get_first_token(within_seconds=5)
    with PubSubServer().running() as server:
        server.behaviours = [refusing(grpc.StatusCode.UNAUTHENTICATED, "revoked"), accepting]
        publisher = PubSubPublisher(
            TOPIC, lambda: grpc.insecure_channel(server.host, options=CHANNEL_OPTIONS), credentials=credentials
        )

        message_id = publisher.publish(MESSAGE, budget_seconds=5)
        publisher.close()

    assert message_id == "m-2"
    assert credentials.token is None
