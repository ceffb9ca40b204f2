"""Who may push. `oidc` verifies Pub/Sub's token here; `iam` (invoker.py) relies on Cloud Run; `off` lets everybody in.

Source: "Authentication for push subscriptions" (Google Cloud Pub/Sub documentation).
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import google.auth.jwt
import requests

from relay.errors import AuthenticationError
from relay.settings.worker import PushAuth, WorkerSettings
from relay.worker.claims import CLOCK_SKEW_SECONDS, REPLACED_SIGNATURE, ExpectedClaims, bearer_token
from relay.worker.invoker import InvokerAuthenticator

Authenticate = Callable[[str | None], None]
"""Takes the Authorization header; raises AuthenticationError unless the caller may push."""

FetchCertificates = Callable[[], Mapping[str, str]]
"""Returns the issuer's certificates in PEM by key id. Raises OSError if they cannot be had."""

CERTIFICATES_LIFETIME_SECONDS = 3_600
MIN_SECONDS_BETWEEN_FETCHES = 60  # Made-up key ids must not make us call Google for each request.
MIN_SECONDS_BETWEEN_FIRST_FETCHES = 1  # Without any certificate every push is nacked: try again soon.
FETCH_TIMEOUT_SECONDS = 5
MAX_REMEMBERED_TOKENS = 100  # Pub/Sub uses one token for many pushes; only verified ones are remembered.

logger = logging.getLogger(__name__)


class Headers(Protocol):
    """A request's headers, by name."""

    def get(self, name: str, /) -> str | None:
        """Return the header's value, None if the request has no such header."""
        ...


def authenticator(settings: WorkerSettings, service_account: str | None) -> Authenticate:
    """Return the check of `PUSH_AUTH` for callers with the e-mail `service_account`."""
    if settings.push_auth is PushAuth.OFF:
        return anybody
    audience, service_account = settings.push_audience or "", service_account or ""
    if settings.push_auth is PushAuth.IAM:
        return InvokerAuthenticator(audience=audience, service_account=service_account)
    return OidcAuthenticator(
        audience=audience,
        service_account=service_account,
        certificates=CertificateCache(certificates_from(settings.push_certificates_url)),
    )


def authenticate_headers(authenticate: Authenticate, headers: Headers, push_auth: PushAuth) -> None:
    """Return if the caller is let in. Raises AuthenticationError.

    Under `iam` each header that may hold a token must hold one of ours. Cloud Run verifies only one of them, and
    somebody who may call the worker for another reason could forge the other: Authorization where a request has both,
    or X_Serverless_Authorization, which Cloud Run does not know and gunicorn takes for the name with hyphens.
    """
    names = ("X-Serverless-Authorization", "Authorization") if push_auth is PushAuth.IAM else ("Authorization",)
    sent: list[str | None] = [value for value in map(headers.get, names) if value is not None]
    for authorization in sent or [None]:
        authenticate(authorization)


def anybody(_: str | None) -> None:
    """Let every caller in, for `off`."""


def certificates_from(url: str) -> FetchCertificates:
    """Return a fetcher of the certificates published at `url`."""

    def fetch() -> Mapping[str, str]:
        try:
            response = requests.get(url, timeout=FETCH_TIMEOUT_SECONDS)
            response.raise_for_status()
            certificates = response.json()
        except (requests.RequestException, ValueError) as error:
            raise OSError(f"the certificates cannot be fetched from {url}: {error}") from error
        if not isinstance(certificates, dict):
            raise OSError(f"the certificates at {url} are not a JSON object")
        return certificates

    return fetch


class CertificateCache:
    """The issuer's certificates, fetched at most once a minute, whatever key ids callers claim; at first once a second.

    google-auth fetches them for each token. Its documented cache (CacheControl) and cachetools forget what is old: here
    old certificates go on while the issuer is out of reach, and unknown key ids cannot cause a flood of requests.
    """

    def __init__(self, fetch: FetchCertificates, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._certificates: Mapping[str, str] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    def for_key(self, key_id: object) -> Mapping[str, str]:
        """Return the certificates, fetched anew if they are old or do not hold `key_id`.

        Raises AuthenticationError with status 503 while there are none at all.
        """
        with self._lock:
            now = self._clock()
            is_old = self._fetched_at is None or now - self._fetched_at > CERTIFICATES_LIFETIME_SECONDS
            pause_seconds = MIN_SECONDS_BETWEEN_FETCHES if self._certificates else MIN_SECONDS_BETWEEN_FIRST_FETCHES
            may_try = self._tried_at is None or now - self._tried_at >= pause_seconds
            if may_try and (is_old or key_id not in self._certificates):
                self._tried_at = now
                self._refresh(now)
            if not self._certificates:
                raise AuthenticationError("no certificates to verify push tokens with", status=503)
            return self._certificates

    def _refresh(self, now: float) -> None:
        try:
            self._certificates = self._fetch()
        except OSError as error:
            # Old certificates still verify. Without any, every push is nacked, and Pub/Sub tries again.
            logger.error("Push tokens are checked with the certificates fetched before, if any: %s", error)  # noqa: TRY400
            return
        self._fetched_at = now


class OidcAuthenticator:
    """Accepts the tokens that Pub/Sub signs for our subscription, and nothing else."""

    def __init__(
        self,
        *,
        audience: str,
        service_account: str,
        certificates: CertificateCache,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`service_account` is the e-mail that the tokens must carry; `now` gives Unix seconds."""
        self._expected = ExpectedClaims(audience=audience, service_account=service_account)
        self._certificates = certificates
        self._now = now
        self._verified_until: dict[str, float] = {}

    def __call__(self, authorization: str | None) -> None:
        """Return if the header holds a valid token of ours. Raises AuthenticationError."""
        token = bearer_token(authorization)
        if self._verified_until.get(token, 0) > self._now():
            return
        claims = self._verified_claims(token)
        self._expected.check(claims, now=self._now())
        if len(self._verified_until) >= MAX_REMEMBERED_TOKENS:
            self._verified_until.clear()
        self._verified_until[token] = claims["exp"]

    def _verified_claims(self, token: str) -> Mapping[str, Any]:
        if token.endswith(f".{REPLACED_SIGNATURE}"):
            raise AuthenticationError(
                f"Cloud Run's invoker check has replaced the token's signature ({REPLACED_SIGNATURE}), so that oidc "
                "cannot verify it; set PUSH_AUTH=iam",
                status=401,
            )
        try:
            key_id = google.auth.jwt.decode_header(token).get("kid")
            certificates = self._certificates.for_key(key_id)
            claims: dict[str, Any] = google.auth.jwt.decode(
                token, certs=certificates, clock_skew_in_seconds=CLOCK_SKEW_SECONDS
            )
        except AuthenticationError:
            raise
        except Exception as error:
            # Malformed tokens fail in many ways (ValueError, TypeError, RecursionError ...): each is a refusal.
            raise AuthenticationError(f"token not valid: {type(error).__name__}: {error}", status=401) from error
        return claims
