"""Who may push under `PUSH_AUTH=iam`: Cloud Run's invoker check verifies the token, the worker compares its claims.

Cloud Run may replace the signature before the container sees the token, so that nobody behind the invoker check can
verify it again. The claims count only because Cloud Run has verified them: settings refuse `iam` elsewhere.

Source: "Troubleshoot Cloud Run" (signature removed) and "Authenticating service-to-service" (Cloud Run documentation).
"""

import time
from collections.abc import Callable, Mapping

import google.auth.jwt

from relay.errors import AuthenticationError
from relay.worker.claims import ExpectedClaims, bearer_token


class InvokerAuthenticator:
    """Accepts the tokens that Pub/Sub makes for our subscription, once Cloud Run has verified their signature."""

    def __init__(self, *, audience: str, service_account: str, now: Callable[[], float] = time.time) -> None:
        """`service_account` is the e-mail that the tokens must carry; `now` gives Unix seconds."""
        self._expected = ExpectedClaims(audience=audience, service_account=service_account)
        self._now = now

    def __call__(self, authorization: str | None) -> None:
        """Return if the header holds a token of ours that is still valid. Raises AuthenticationError."""
        token = bearer_token(authorization)
        try:
            claims = google.auth.jwt.decode(token, verify=False)
        except Exception as error:
            # Malformed tokens fail in many ways (ValueError, TypeError, RecursionError ...): each is a refusal.
            raise AuthenticationError(f"token cannot be read: {type(error).__name__}", status=401) from error
        if not isinstance(claims, Mapping):
            raise AuthenticationError("token cannot be read: its claims are no JSON object", status=401)
        self._expected.check(claims, now=self._now())
