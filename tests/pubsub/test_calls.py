"""What Google's client raises is told in one line: what did not answer, which variable names it, and what to do."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import google.auth.transport.grpc
import grpc
import pytest
from google.api_core import exceptions
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from relay.errors import PubSubError
from relay.pubsub.calls import CALL_SECONDS, RETRY, check_topic, pubsub_errors
from tests.pubsub.conftest import Place
from tests.support.ports import free_port
from tests.support.pubsub_proxy import GET_TOPIC, Forward, PubSubProxy, Refused

PATH = "projects/p/subscriptions/s"
REFUSED = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:9: Failed to connect to remote host: "
    "Connection refused"
)
UNAVAILABLE = exceptions.ServiceUnavailable(REFUSED)
GIVEN_UP = exceptions.RetryError("Timeout of 60.0s exceeded", UNAVAILABLE)
LATE = exceptions.DeadlineExceeded("Deadline Exceeded")


def told(raises: Callable[[], object]) -> str:
    with pytest.raises(PubSubError) as caught, pubsub_errors(PATH):
        raises()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def told_of(error: Exception) -> str:
    def fail() -> None:
        raise error

    return told(fail)


def asked(client: SubscriberClient) -> Callable[[], object]:
    return lambda: client.get_subscription(request={"subscription": PATH}, retry=RETRY, timeout=CALL_SECONDS)


@pytest.mark.parametrize(
    ("error", "why"), [(UNAVAILABLE, "Connection refused"), (GIVEN_UP, "Connection refused"), (LATE, LATE.message)]
)
def test_a_silent_emulator_is_named_with_its_variable(
    error: Exception, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")

    wanted = f"the Pub/Sub emulator at 127.0.0.1:9 does not answer ({why}): start it, or unset PUBSUB_EMULATOR_HOST"

    assert told_of(error) == f"{PATH}: {wanted}"


@pytest.mark.parametrize("error", [UNAVAILABLE, GIVEN_UP, LATE])
def test_a_silent_google_is_a_question_about_the_network(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)

    assert "can this machine reach Google? For an emulator, set PUBSUB_EMULATOR_HOST" in told_of(error)


@pytest.mark.parametrize("text", ["Subscription does not exist (resource=s)", "Resource not found (resource=s)."])
def test_what_does_not_exist_is_named_and_the_doctor_too(text: str) -> None:
    assert told_of(exceptions.NotFound(text)) == f"{PATH}: {text}; `relay doctor` names what is missing"


def test_missing_credentials_say_why_and_how_to_log_in() -> None:
    text = told_of(DefaultCredentialsError("File /nonexistent was not found."))

    assert "(File /nonexistent was not found); log in: gcloud auth application-default login" in text


@pytest.mark.parametrize(
    "error", [exceptions.PermissionDenied("User not authorized"), exceptions.InvalidArgument("A name is too long")]
)
def test_any_other_refusal_keeps_its_name_and_its_words(error: exceptions.GoogleAPICallError) -> None:
    assert told_of(error) == f"{PATH}: {type(error).__name__}: {error.code} {error.message}"


class Expired(Credentials):
    """A login that Google does not renew any more."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # google-auth has no types here

    def refresh(self, _request: object) -> None:
        raise RefreshError("invalid_grant: Token has been expired or revoked.")


@pytest.fixture
def expired_client() -> Iterator[SubscriberClient]:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
    server.start()
    login = grpc.metadata_call_credentials(google.auth.transport.grpc.AuthMetadataPlugin(Expired(), None))
    both = grpc.composite_channel_credentials(grpc.local_channel_credentials(), login)
    with grpc.secure_channel(f"127.0.0.1:{port}", both) as channel:
        yield SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    server.stop(0)


def test_an_expired_login_is_no_question_about_the_network(expired_client: SubscriberClient) -> None:
    text = told(asked(expired_client))

    assert "Token has been expired or revoked" in text
    assert "gcloud auth application-default login" in text
    assert "does not answer" not in text


def test_a_call_to_nobody_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    started = time.monotonic()

    assert "does not answer (Connection refused)" in told(asked(SubscriberClient()))

    assert time.monotonic() - started < 30


def test_a_call_to_a_server_that_says_nothing_ends_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()

        text = told(asked(SubscriberClient()))

    assert "does not answer" in text
    assert time.monotonic() - started < CALL_SECONDS + 10


def test_a_topic_that_may_only_be_published_to_passes_the_check(place: Place, proxy: PubSubProxy) -> None:
    def forbid(_: bytes, __: Forward) -> bytes:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED)

    proxy.answers[GET_TOPIC] = forbid

    check_topic(place.topic_path)

    assert proxy.calls[GET_TOPIC] == 1


@pytest.mark.usefixtures("emulator")
def test_a_topic_that_does_not_exist_fails_the_check() -> None:
    with pytest.raises(PubSubError, match="`relay doctor` names what is missing"):
        check_topic("projects/test-relay/topics/nosuch")
