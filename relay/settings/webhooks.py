"""What the watchdog and `relay webhooks` read about the webhooks at OneStock."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from relay.settings.base import split_commas
from relay.settings.onestock import OneStockSettings


class WatchdogSettings(OneStockSettings):
    """What the watchdog reads."""

    webhook_url: str | None = Field(
        default=None,
        alias="ONESTOCK_WEBHOOK_URL",
        pattern=r"^https?://[^\s?#]+$",
        description="Where your receiver takes webhooks, without the event type. Webhooks with other URLs are not "
        "yours: they are neither watched nor changed.",
    )
    reenables: bool = Field(
        default=False,
        alias="ONESTOCK_REENABLE_WEBHOOKS",
        description="Whether the watchdog enables a webhook again that OneStock has disabled; needs "
        "ONESTOCK_WEBHOOK_URL.",
    )

    @model_validator(mode="after")
    def _only_ours_are_enabled(self) -> Self:
        if self.reenables and self.webhook_url is None:
            raise ValueError("ONESTOCK_REENABLE_WEBHOOKS: needs ONESTOCK_WEBHOOK_URL, which says which are yours")
        return self

    def is_ours(self, url: str) -> bool:
        """Return whether a webhook with this URL leads to our receiver; all do where ONESTOCK_WEBHOOK_URL is unset."""
        if self.webhook_url is None:
            return True
        base = self.webhook_url.rstrip("/")
        return url == base or url.startswith(f"{base}/")


class WebhookSettings(WatchdogSettings):
    """What `relay webhooks` reads."""

    hash_keys: Annotated[tuple[SecretStr, ...], BeforeValidator(split_commas)] = Field(
        default=(),
        alias="ONESTOCK_HASH_KEYS",
        description="The hash keys of your OneStock webhooks, newest first, comma separated.",
    )
