"""Publishing to one topic: one Publish RPC of Google's generated client for each message, in the caller's thread.

The batching client of google.cloud.pubsub waits for a batch timer, and after some errors never resolves its future. The
generated client does one RPC and obeys its deadline, which covers resolving the name, the access token, connecting and
the answer. The publisher calls that client's transport: `PublisherClient.publish` makes the same metadata and wraps the
same method again for each message, which takes a quarter of the CPU time of a publish.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

import grpc
from google.api_core import exceptions
from google.api_core.gapic_v1 import routing_header
from google.api_core.grpc_helpers import wrap_errors
from google.api_core.retry import Retry, if_exception_type
from google.auth.credentials import Credentials, TokenState
from google.pubsub_v1 import PublishRequest, PublishResponse, PubsubMessage
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.publisher.transports.base import DEFAULT_CLIENT_INFO

from relay.errors import PublishError
from relay.message import Message
from relay.pubsub.credentials import EnvironmentCredentials, text_of
from relay.settings.base import PubSubSettings

ATTEMPT_SECONDS = 3.0  # A publish takes 15 ms and more; three attempts fit into the budget of a webhook.
SILENT_ATTEMPTS = 2  # In a row; one alone may be a slow answer.
START_SECONDS = 5.0  # Cloud Run sends no request meanwhile.

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
    """One channel with the Publish method of Google's client on it. The publisher's lock guards its numbers."""

    channel: grpc.Channel
    publish: Callable[..., PublishResponse]
    """Takes the request and `timeout`, in seconds. Raises GoogleAPICallError."""
    answered_at: float
    """When the last answer came, or the channel was opened; on the monotonic clock, in seconds."""
    attempts_under_way: int = 0
    silent_attempts: int = 0
    is_replaced: bool = False

    @classmethod
    def on(cls, channel: grpc.Channel, topic_path: str) -> Self:
        transport = PublisherGrpcTransport(channel=channel)
        metadata = (DEFAULT_CLIENT_INFO.to_grpc_metadata(), routing_header.to_grpc_metadata({"topic": topic_path}))
        publish = partial(wrap_errors(transport.publish), metadata=metadata)
        return cls(channel, publish, answered_at=time.monotonic())

    @property
    def is_silent(self) -> bool:
        """Whether several attempts in a row had no answer, for as long as one attempt may take."""
        return self.silent_attempts >= SILENT_ATTEMPTS and time.monotonic() - self.answered_at >= 0.9 * ATTEMPT_SECONDS


class PubSubPublisher:
    """Implements `Publisher` for one topic; safe for any number of threads.

    A connection can stay open, confirm TCP and never answer again, while new connections work. So a channel on which
    several attempts in a row had no answer is replaced. An attempt under way on the old one ends by its own deadline.
    """

    def __init__(
        self, topic_path: str, open_channel: Callable[[], grpc.Channel], *, credentials: Credentials | None = None
    ) -> None:
        """`topic_path` is `projects/PROJECT/topics/TOPIC`; `open_channel` returns a new channel at each call.

        `credentials` are those that the channels take their access token from; None for an emulator.
        """
        self._topic_path = topic_path
        self._open_channel = open_channel
        self._credentials = credentials
        self._lock = threading.Lock()
        self._connection = _Connection.on(open_channel(), topic_path)

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        """See `Publisher.publish`. Transient failures are tried again while the budget lasts."""
        deadline = time.monotonic() + budget_seconds
        retry = Retry(if_exception_type(*TRANSIENT), initial=0.05, maximum=1.0, timeout=budget_seconds)
        try:
            return retry(self._attempt)(self._request(message), deadline)
        except exceptions.RetryError as error:
            cause = text_of(error.cause or error)
            raise PublishError(f"Pub/Sub did not confirm within {budget_seconds:g} s: {cause}") from error
        except exceptions.GoogleAPICallError as error:
            raise PublishError(f"Pub/Sub refused to store the event: {text_of(error)}") from error

    def connect(self, *, within_seconds: float) -> None:
        """Connect; say so in the log if there is no connection within that time."""
        ready = grpc.channel_ready_future(self._connection.channel)
        try:
            ready.result(timeout=within_seconds)
        except grpc.FutureTimeoutError:
            logger.warning("Nothing can be published yet: no connection to Pub/Sub within %g s", within_seconds)
        finally:
            ready.cancel()  # Else a thread of grpcio goes on watching the channel.

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
                response = connection.publish(request, timeout=timeout_seconds)
            except exceptions.DeadlineExceeded as error:
                self._check_token(error)
                self._note_silence(connection)
                raise
            except exceptions.GoogleAPICallError as error:
                self._note_answer(connection)
                if self._credentials and isinstance(error, exceptions.Unauthenticated):
                    self._credentials.token = None  # The next attempt gets a new one.
                raise
            self._note_answer(connection)
        message_id: str = response.message_ids[0]
        return message_id

    def _check_token(self, error: exceptions.DeadlineExceeded) -> None:
        """Raise ServiceUnavailable if the attempt has waited for an access token, and not for Pub/Sub."""
        if self._credentials and self._credentials.token_state is TokenState.INVALID:
            text = "no access token for Pub/Sub: the token server does not answer"
            raise exceptions.ServiceUnavailable(text) from error

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
            connection.answered_at = time.monotonic()

    def _note_silence(self, connection: _Connection) -> None:
        """Count an attempt without an answer, and replace the connection if it is silent."""
        with self._lock:
            connection.silent_attempts += 1
            if not connection.is_silent or connection.is_replaced:
                return
            self._connection = _Connection.on(self._open_channel(), self._topic_path)
            connection.is_replaced = True
        logger.warning("Pub/Sub gave no answer to %d attempts in a row; connecting anew", connection.silent_attempts)


def connected(topic_path: str, settings: PubSubSettings) -> PubSubPublisher:
    """Return a publisher with a connection and an access token. Call it after the fork, once for each process.

    If Pub/Sub or the token server cannot be reached yet, the log says so and the first publish tries again.
    Raises ConfigurationError where Google Cloud is meant and the environment holds no credentials.
    """
    if settings.emulator_host:
        publisher = PubSubPublisher(topic_path, _channels_to_emulator(settings.emulator_host))
    else:
        credentials = EnvironmentCredentials()
        credentials.get_first_token(within_seconds=START_SECONDS)
        host = settings.endpoint or PublisherGrpcTransport.DEFAULT_HOST
        publisher = PubSubPublisher(topic_path, _channels_to_google(host, credentials), credentials=credentials)
    publisher.connect(within_seconds=START_SECONDS)
    return publisher


def _channels_to_emulator(host: str) -> Callable[[], grpc.Channel]:
    return lambda: grpc.insecure_channel(host, options=CHANNEL_OPTIONS)


def _channels_to_google(host: str, credentials: Credentials) -> Callable[[], grpc.Channel]:
    return lambda: PublisherGrpcTransport.create_channel(host, credentials=credentials, options=CHANNEL_OPTIONS)
