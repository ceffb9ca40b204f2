"""Publishing to one topic: one Publish RPC of Google's generated client for each message, in the caller's thread.

The batching client of google.cloud.pubsub waits for a batch timer, and after some errors never resolves its future. The
generated client does one RPC and obeys its deadline, which covers resolving the name, the access token, connecting and
the answer.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, Self

import google.auth
import google.auth.transport.requests
import grpc
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from relay.errors import ConfigurationError, PublishError
from relay.message import Message
from relay.settings.base import PubSubSettings

ATTEMPT_SECONDS = 3.0  # A publish takes 15 ms and more; three attempts fit into the budget of a webhook.
SILENT_ATTEMPTS = 2  # In a row; one alone may be a slow answer.
START_SECONDS = 5.0

# The codes on which Google's own configuration of "Publish" tries again, and a token that was refused.
TRANSIENT = (
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.ResourceExhausted,
    exceptions.ServiceUnavailable,
    exceptions.Unauthenticated,
    exceptions.Unknown,
)

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # By default gRPC waits up to 120 s before it connects again, and every publish fails meanwhile.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Channels of one process share connections by default: a new channel would get the silent connection again.
    ("grpc.use_local_subchannel_pool", 1),
)

logger = logging.getLogger(__name__)


class Publisher(Protocol):
    """What the services and the commands need of Pub/Sub to publish."""

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        """Return the message id once Pub/Sub has confirmed. Raises PublishError within `budget_seconds`."""
        ...


@dataclass(slots=True, eq=False)
class _Connection:
    """One channel with Google's client on it. The publisher's lock guards its numbers."""

    channel: grpc.Channel
    client: PublisherClient
    attempts_under_way: int = 0
    silent_attempts: int = 0
    is_replaced: bool = False

    @classmethod
    def on(cls, channel: grpc.Channel) -> Self:
        return cls(channel, PublisherClient(transport=PublisherGrpcTransport(channel=channel)))


class PubSubPublisher:
    """Implements `Publisher` for one topic; safe for any number of threads.

    A connection can stay open, confirm TCP and never answer again, while new connections work. So a channel on which
    several attempts in a row had no answer is replaced. Attempts under way on the old channel end by their own deadline.
    """

    def __init__(self, topic_path: str, open_channel: Callable[[], grpc.Channel]) -> None:
        """`topic_path` is `projects/PROJECT/topics/TOPIC`; `open_channel` returns a new channel at each call."""
        self._topic_path = topic_path
        self._open_channel = open_channel
        self._lock = threading.Lock()
        self._connection = _Connection.on(open_channel())
        self._replaced_at = float("-inf")

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        """See `Publisher.publish`. Transient failures are tried again while the budget lasts."""
        deadline = time.monotonic() + budget_seconds
        retry = Retry(if_exception_type(*TRANSIENT), initial=0.05, maximum=1.0, timeout=budget_seconds)
        try:
            return retry(self._attempt)(self._request(message), deadline)
        except exceptions.RetryError as error:
            cause = _text_of(error.cause or error)
            raise PublishError(f"Pub/Sub did not confirm within {budget_seconds:g} s: {cause}") from error
        except exceptions.GoogleAPICallError as error:
            raise PublishError(f"Pub/Sub refused to store the event: {_text_of(error)}") from error

    def wait_until_connected(self, within_seconds: float) -> None:
        """Connect. Raises grpc.FutureTimeoutError if there is no connection within that time."""
        grpc.channel_ready_future(self._connection.channel).result(timeout=within_seconds)

    def close(self) -> None:
        """Close the connection."""
        self._connection.channel.close()

    def _request(self, message: Message) -> PublishRequest:
        # Protobuf's own classes: proto-plus objects cost five times as much to fill.
        pubsub_message = PubsubMessage.pb()(
            data=message.data, attributes=message.attributes, ordering_key=message.ordering_key
        )
        pb = PublishRequest.pb()(topic=self._topic_path, messages=[pubsub_message])
        request: PublishRequest = PublishRequest.wrap(pb)
        return request

    def _attempt(self, request: PublishRequest, deadline: float) -> str:
        timeout_seconds = max(0.001, min(ATTEMPT_SECONDS, deadline - time.monotonic()))
        with self._leased() as connection:
            try:
                response = connection.client.publish(request=request, retry=None, timeout=timeout_seconds)
            except exceptions.DeadlineExceeded:
                self._note_silence(connection)
                raise
            except exceptions.GoogleAPICallError:
                self._note_answer(connection)
                raise
            self._note_answer(connection)
        message_id: str = response.message_ids[0]
        return message_id

    @contextmanager
    def _leased(self) -> Iterator[_Connection]:
        """Give the connection for one attempt; close it afterwards if it was replaced and this was its last attempt."""
        with self._lock:
            connection = self._connection
            connection.attempts_under_way += 1
        try:
            yield connection
        finally:
            with self._lock:
                connection.attempts_under_way -= 1
                is_last = connection.is_replaced and not connection.attempts_under_way
            if is_last:
                connection.channel.close()

    def _note_answer(self, connection: _Connection) -> None:
        with self._lock:
            connection.silent_attempts = 0

    def _note_silence(self, connection: _Connection) -> None:
        """Count an attempt without an answer, and replace the connection if it is silent.

        A Pub/Sub that answers nobody gets one new connection each `ATTEMPT_SECONDS` at most.
        """
        with self._lock:
            connection.silent_attempts += 1
            now = time.monotonic()
            is_silent = connection.silent_attempts >= SILENT_ATTEMPTS
            if not is_silent or connection.is_replaced or now - self._replaced_at < ATTEMPT_SECONDS:
                return
            connection.is_replaced = True
            self._replaced_at = now
            self._connection = _Connection.on(self._open_channel())
        logger.warning("Pub/Sub gave no answer to %d attempts in a row; connecting anew", connection.silent_attempts)


def connected(topic_path: str, settings: PubSubSettings) -> PubSubPublisher:
    """Return a publisher with a connection and an access token. Call it after the fork, once for each process.

    If Pub/Sub cannot be reached yet, the log says so and the first publish connects.
    Raises ConfigurationError where Google Cloud is meant and the environment holds no credentials.
    """
    if settings.emulator_host:
        open_channel = _channels_to_emulator(settings.emulator_host)
    else:
        open_channel = _channels_to_google(settings.endpoint or PublisherGrpcTransport.DEFAULT_HOST)
    publisher = PubSubPublisher(topic_path, open_channel)
    try:
        publisher.wait_until_connected(START_SECONDS)
    except grpc.FutureTimeoutError:
        logger.warning("Pub/Sub cannot be reached yet: no connection within %g s", START_SECONDS)
    return publisher


def _channels_to_emulator(host: str) -> Callable[[], grpc.Channel]:
    return lambda: grpc.insecure_channel(host, options=CHANNEL_OPTIONS)


def _channels_to_google(host: str) -> Callable[[], grpc.Channel]:
    credentials = _credentials()
    return lambda: PublisherGrpcTransport.create_channel(host, credentials=credentials, options=CHANNEL_OPTIONS)


def _credentials() -> Credentials:
    """Return the environment's credentials with an access token. While it is valid, it is renewed in the background."""
    try:
        credentials, _ = google.auth.default(scopes=PublisherGrpcTransport.AUTH_SCOPES)
    except DefaultCredentialsError as error:
        raise ConfigurationError(
            "No Google Cloud credentials found. On a laptop run `gcloud auth application-default login`, or set "
            f"PUBSUB_EMULATOR_HOST to use an emulator ({_text_of(error)})"
        ) from error
    credentials.with_non_blocking_refresh()
    try:
        credentials.refresh(google.auth.transport.requests.Request())
    except GoogleAuthError as error:
        logger.warning("There is no access token for Pub/Sub yet: %s", _text_of(error))
    return credentials


def _text_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")
