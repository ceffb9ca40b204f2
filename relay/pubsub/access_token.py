"""The access token that authorizes a publish: google-auth's credentials, renewed by one thread at a time.

With google-auth's own gRPC plugin each call renews the token in a thread of its own, also where the old token is valid
for some more minutes. While the metadata server is silent these threads pile up, and every publish waits in vain. Here
a caller waits only if there is no valid token, for the one renewal under way, and no longer than its budget.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

import google.auth.transport.requests
from google.api_core.exceptions import ServiceUnavailable
from google.auth.credentials import Credentials, TokenState
from google.auth.exceptions import GoogleAuthError

SECONDS_BETWEEN_RENEWALS = 1.0  # At least, however many webhooks wait for a token.

Headers = Sequence[tuple[str, str]]

logger = logging.getLogger(__name__)


class NoAccessToken(ServiceUnavailable):
    """There is no valid token now. Trying again may help: the renewal goes on, or starts again."""


class AccessToken:
    """Gives the headers that authorize a call; safe for any number of threads."""

    def __init__(self, find_credentials: Callable[[], Credentials]) -> None:
        """`find_credentials` may be slow: the renewing thread calls it, until it succeeds once."""
        self._find_credentials = find_credentials
        self._credentials: Credentials | None = None
        self._refused: str | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started = float("-inf")
        self.failure: Exception | None = None
        """Why the last renewal failed; None if it succeeded."""

    def headers(self, *, within_seconds: float) -> Headers:
        """Return the headers once there is a valid token. Raises NoAccessToken if there is none within that time."""
        if not self._has(TokenState.FRESH):
            renewing = self._start_renewal()
            if not self._has(TokenState.FRESH, TokenState.STALE):
                renewing.join(max(0.0, within_seconds))
        credentials = self._credentials
        if credentials is None or not self._has(TokenState.FRESH, TokenState.STALE):
            why = text_of(self.failure) if self.failure else "the token server has not answered yet"
            raise NoAccessToken(f"no access token for Pub/Sub: {why}")  # type: ignore[no-untyped-call]
        headers: dict[str, str] = {}
        credentials.apply(headers)
        return tuple(headers.items())

    def renew_unless_changed(self, headers: Headers) -> None:
        """Renew the token before the next call, unless that was done meanwhile. Pub/Sub has refused `headers`."""
        self._refused = dict(headers)["authorization"]

    def _has(self, *states: TokenState) -> bool:
        credentials = self._credentials
        if credentials is None or self._refused == f"Bearer {credentials.token}":
            return False
        return credentials.token_state in states

    def _start_renewal(self) -> threading.Thread:
        """Return the thread that renews the token, or has just tried to."""
        with self._lock:
            has_just_started = time.monotonic() - self._started < SECONDS_BETWEEN_RENEWALS
            if self._thread is None or not (self._thread.is_alive() or has_just_started):
                self._started = time.monotonic()
                self._thread = threading.Thread(target=self._renew, name="access-token", daemon=True)
                self._thread.start()
            return self._thread

    def _renew(self) -> None:
        try:
            if self._credentials is None:
                self._credentials = self._find_credentials()
            self._credentials.refresh(google.auth.transport.requests.Request())
        except (GoogleAuthError, OSError, ValueError) as error:
            self.failure = error
            logger.warning("The access token for Pub/Sub cannot be renewed: %s", text_of(error))
            return
        # The token server may give the refused token again: it is tried once more, rather than none.
        self.failure = self._refused = None


def text_of(error: BaseException) -> str:
    """Return an error's class and text on one line."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")
