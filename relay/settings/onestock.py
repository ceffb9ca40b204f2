"""What the client of OneStock's API reads: in the worker, and in the commands that call OneStock."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from relay.settings.base import FromEnviron, http_url_parts

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

DEFAULT_VERSIONS: Mapping[str, str] = {
    "login": "v2",
    "orders": "v2",
    "search_orders": "v2",
    "history": "v1",
    "parcels": "v2",
    "line_item_groups": "v2",
    "webhooks": "v3",
    "change_webhooks": "",
}
"""The version in the path of each call; empty where "Webhook configuration" (OneStock) shows none."""


def _versions(value: Any) -> Any:
    """Turn `orders=v3, change_webhooks=` into the default versions with these changed."""
    if not isinstance(value, str):
        return value
    changed = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        call, equals, version = (text.strip() for text in part.partition("="))
        if not equals or call not in DEFAULT_VERSIONS:
            raise ValueError(f"{part!r}: write CALL=VERSION, with a call of {', '.join(DEFAULT_VERSIONS)}")
        changed[call] = version
    return {**DEFAULT_VERSIONS, **changed}


class OneStockSettings(FromEnviron):
    """What the client of OneStock's API reads."""

    url: str = Field(
        alias="ONESTOCK_API_URL",
        description="Where OneStock's API is, without a version; unset, handlers cannot call OneStock.",
    )
    site_id: str = Field(alias="ONESTOCK_SITE_ID", min_length=1, description="Your site at OneStock.")
    user_id: str = Field(alias="ONESTOCK_USER_ID", min_length=1, description="The user that logs in to OneStock's API.")
    password: SecretStr = Field(alias="ONESTOCK_PASSWORD", min_length=1, description="The user's password.")
    versions: Annotated[Mapping[str, str], BeforeValidator(_versions)] = Field(
        default=DEFAULT_VERSIONS,
        alias="ONESTOCK_API_VERSIONS",
        description="The version in the path of single calls, where yours differ: CALL=VERSION, comma separated.",
    )
    get: Literal["body", "override"] = Field(
        default="body",
        alias="ONESTOCK_API_GET",
        description="How a GET carries its JSON: body, or override (a POST with X-HTTP-Method-Override: GET) where "
        "something on the way drops the body of a GET.",
    )
    dates: Literal["digits", "unix"] = Field(
        default="digits",
        alias="ONESTOCK_API_DATES",
        description="How the dates of a search are written: digits (YYYYMMDDhhmmss, UTC) or unix (seconds).",
    )
    answer_seconds: float = Field(
        default=10,
        alias="ONESTOCK_API_TIMEOUT_SECONDS",
        gt=0,
        description="How long one request to OneStock may take, from connecting to the last byte, in seconds.",
    )
    budget_seconds: float = Field(
        default=25,
        alias="ONESTOCK_API_BUDGET_SECONDS",
        gt=0,
        description="How long one call to OneStock may take with its login and all its repeats, in seconds; below "
        "HANDLER_BUDGET_SECONDS.",
    )

    @field_validator("url")
    @classmethod
    def _url_keeps_the_password_secret(cls, value: str) -> str:
        parts = http_url_parts(value, example="https://api.onestock-retail.com")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold nothing but scheme, host, port and path")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("must be https: the password is sent to it")
        return value.rstrip("/")

    @classmethod
    def if_set(cls, environ: Mapping[str, str]) -> Self | None:
        """Return the settings, or None if ONESTOCK_API_URL is not set. Raises ConfigurationError."""
        return cls.from_environ(environ) if environ.get("ONESTOCK_API_URL", "").strip() else None

    def check_fits(self, *, handler_budget_seconds: float) -> None:
        """Raise ValueError if one call may take longer than a handler."""
        if self.budget_seconds >= handler_budget_seconds:
            raise ValueError(
                f"ONESTOCK_API_BUDGET_SECONDS ({self.budget_seconds:g}) must be below HANDLER_BUDGET_SECONDS "
                f"({handler_budget_seconds:g}); else a handler is stopped in the middle of a call"
            )
