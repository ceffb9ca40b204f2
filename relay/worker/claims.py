"""The claims of a push token: who pushes, to which audience, and until when. No signatures here.

Source: "Authentication for push subscriptions" (Google Cloud Pub/Sub documentation).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.errors import AuthenticationError

CLOCK_SKEW_SECONDS = 10
REPLACED_SIGNATURE = "SIGNATURE_REMOVED_BY_GOOGLE"  # Source: "Troubleshoot Cloud Run", "signature removed".

_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
_MAX_TOKEN_LENGTH = 8_192


def bearer_token(authorization: str | None) -> str:
    """Return the token in an Authorization header. Raises AuthenticationError if there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN_LENGTH:
        raise AuthenticationError("no bearer token", status=401)
    return token


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedClaims:
    """The audience and the service account's e-mail that every token must carry."""

    audience: str
    service_account: str

    def check(self, claims: Mapping[str, Any], *, now: float) -> None:
        """Raise AuthenticationError unless the token is our subscription's and valid at `now` (Unix seconds)."""
        if claims.get("aud") != self.audience:
            raise AuthenticationError("token for another audience", status=401)
        if not now - CLOCK_SKEW_SECONDS < _moment(claims, "exp", missing=-math.inf) < math.inf:
            raise AuthenticationError("token has expired", status=401)
        if max(_moment(claims, name, missing=0) for name in ("iat", "nbf")) > now + CLOCK_SKEW_SECONDS:
            raise AuthenticationError("token not valid yet", status=401)
        if claims.get("iss") not in _ISSUERS:
            raise AuthenticationError("token of another issuer", status=401)
        if claims.get("email_verified") is not True:
            raise AuthenticationError("the token's e-mail is not verified", status=403)
        if claims.get("email") != self.service_account:
            raise AuthenticationError("token of another service account", status=403)


def _moment(claims: Mapping[str, Any], name: str, *, missing: float) -> float:
    """Return a claim in Unix seconds. Raises AuthenticationError for a value that is no number."""
    value = claims.get(name, missing)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise AuthenticationError(f"the token's {name} is not a number", status=401)
    return value
