"""The access token that authorizes publishing: google-auth's credentials, with a start that nothing can hold up."""

import logging
import threading

import google.auth
import google.auth.transport.requests
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from relay.errors import ConfigurationError

logger = logging.getLogger(__name__)


class EnvironmentCredentials(Credentials):
    """The credentials that the environment leads to, looked for when the first access token is wanted.

    `google.auth.default` asks the metadata server, and a silent one would hold up the start of a service.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # google-auth has no types here
        self._found: Credentials | None = None
        # A token that is about to expire is renewed in the background while publishes go on with it.
        self.with_non_blocking_refresh()  # type: ignore[no-untyped-call] # as above

    def refresh(self, request: google.auth.transport.Request) -> None:
        """Get an access token. Raises GoogleAuthError."""
        if self._found is None:
            self._found, _ = google.auth.default(scopes=PublisherGrpcTransport.AUTH_SCOPES)
        self._found.refresh(request)
        self.token, self.expiry = self._found.token, self._found.expiry

    def get_first_token(self, *, within_seconds: float) -> None:
        """Get an access token; say so in the log if there is none within that time.

        Raises ConfigurationError if it is certain by then that the environment holds no credentials.
        """
        failures: list[GoogleAuthError] = []

        def refresh() -> None:
            try:
                self.refresh(google.auth.transport.requests.Request())
            except GoogleAuthError as error:
                failures.append(error)

        # google-auth bounds each request to the token server, and not all of them together.
        thread = threading.Thread(target=refresh, name="first-access-token", daemon=True)
        thread.start()
        thread.join(within_seconds)
        if failures and isinstance(failures[0], DefaultCredentialsError):
            raise ConfigurationError(
                "No Google Cloud credentials found. On a laptop run `gcloud auth application-default login`, or set "
                f"PUBSUB_EMULATOR_HOST to use an emulator ({text_of(failures[0])})"
            )
        if not self.token:
            why = text_of(failures[0]) if failures else f"no answer of the token server within {within_seconds:g} s"
            logger.warning("Nothing can be published yet: no access token for Pub/Sub: %s", why)


def text_of(error: BaseException) -> str:
    """Return an error's class and text on one line."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")
