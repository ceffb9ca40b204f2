"""The authorization header for Google's APIs, renewed while the old token still holds.

Credentials and tokens are google-auth's. It is asked here, in the request that needs the token: its own renewal in the
background would outlive the response.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import google.auth
from google.auth import exceptions, transport
from google.auth.credentials import Credentials, TokenState

from relay.errors import ConfigurationError, PublishUnavailable

# As Google's client asks for.
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/pubsub")

ASK_SECONDS = 2.0  # The metadata server answers within milliseconds.
RENEW_SECONDS = 5.0  # google-auth by itself would go on asking for minutes.
PAUSE_SECONDS = 1.0  # Between renewals that fail, so that not every webhook waits for one.

Headers = tuple[tuple[str, str], ...]
"""Names in lower case, and values."""


class AccessToken:
    """Safe for threads and greenlets."""

    def __init__(
        self, credentials: Credentials, request: transport.Request, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`request` is how google-auth asks for tokens; `clock` is in seconds."""
        self._credentials = credentials
        self._request = request
        self._clock = clock
        self._renewing = threading.Lock()
        self._headers: Headers = ()
        self._failure = ""
        self._paused_until = 0.0

    @classmethod
    def of_the_environment(cls) -> Self:
        """Return the token of the service's own account. Raises ConfigurationError if there are no credentials."""
        from google.auth.transport.requests import Request

        try:
            credentials, _ = google.auth.default(scopes=_SCOPES)
        except exceptions.DefaultCredentialsError as error:
            raise ConfigurationError(
                "Google Cloud credentials: none found; on Cloud Run the service's account has them, elsewhere run"
                " 'gcloud auth application-default login', or set PUBSUB_EMULATOR_HOST for the emulator"
            ) from error
        return cls(credentials, Request())

    def headers(self, *, timeout_seconds: float) -> Headers:
        """Return the headers, the same object until they change. Raises PublishUnavailable without a valid token."""
        state = self._credentials.token_state
        if state is TokenState.FRESH:
            return self._headers
        # While the token still holds, one request renews it, and the others do not wait for that.
        still_holds = state is TokenState.STALE
        if not self._renewing.acquire(timeout=0.0 if still_holds else max(0.0, timeout_seconds)):
            return self._headers if still_holds else self._give_up("another request waits for it already")
        try:
            if self._credentials.token_state is state:
                self._renew()
        finally:
            self._renewing.release()
        return self._headers if self._credentials.token_state is not TokenState.INVALID else self._give_up()

    def forget(self, refused: Headers) -> None:
        """Have the next request ask for another token, unless what was refused is not the one of now."""
        if refused is self._headers:
            self._credentials.token = None

    def _renew(self) -> None:
        if self._clock() < self._paused_until:
            return
        try:
            self._credentials.refresh(_Bounded(self._request, until=self._clock() + RENEW_SECONDS, clock=self._clock))
        except Exception as error:  # noqa: BLE001 - google-auth raises what its parsing of an answer raises, too
            self._failure = " ".join(f"{type(error).__name__}: {error}".split())
            self._paused_until = self._clock() + PAUSE_SECONDS
            return
        headers: dict[str, str] = {}
        self._credentials.apply(headers)
        self._headers = tuple((name.lower(), value) for name, value in headers.items())

    def _give_up(self, why: str | None = None) -> Headers:
        raise PublishUnavailable(f"no access token for Pub/Sub: {why or self._failure}")


class _RenewalTooSlow(Exception):
    """Not one of google-auth's errors, after which it would ask again."""


class _Bounded(transport.Request):
    """google-auth's way to ask, with an end to its patience."""

    def __init__(self, request: transport.Request, *, until: float, clock: Callable[[], float]) -> None:
        self._request = request
        self._until = until
        self._clock = clock

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: int | None = None,  # noqa: ARG002 - google-auth's choice, far above ours
        **kwargs: Any,
    ) -> transport.Response:
        if self._clock() >= self._until:
            raise _RenewalTooSlow(f"not renewed within {RENEW_SECONDS:g} s")
        response: transport.Response = self._request(
            url, method=method, body=body, headers=headers, timeout=ASK_SECONDS, **kwargs
        )
        return response
