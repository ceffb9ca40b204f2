"""OneStock's webhooks as the console shows them: their status, since when, and how long a failing one has left."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.errors import StoreError
from relay.investigation.rates import TypedWebhook, Unacknowledged, unacknowledged_of
from relay.local.installation import RETRY_SCALE
from relay.onestock import OneStock, RegisteredWebhook, WebhookStatus
from relay.onestock.watchdog import RETRIES_SECONDS, WebhookCheck, check_of, text_of
from relay.settings.webhooks import WebhookSettings
from relay.stores.chosen import sightings_in
from relay.stores.sightings import Sightings

RETRIES = timedelta(seconds=RETRIES_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenWebhook:
    """One webhook at OneStock."""

    check: WebhookCheck
    is_ours: bool
    """Whether it leads to our receiver."""

    @property
    def webhook(self) -> RegisteredWebhook:
        """What OneStock says of it."""
        return self.check.webhook

    @property
    def text(self) -> str:
        """What a person on call has to know about it; empty if nothing."""
        return "" if self.check.is_fine or not self.is_ours else text_of(self.check)

    @property
    def is_enabled(self) -> bool:
        """Whether OneStock sends its events."""
        return self.webhook.status == WebhookStatus.ENABLED

    def failing(self, webhooks: Sequence[TypedWebhook], *, is_local: bool) -> "Failing | None":
        """Return since when OneStock gets no acknowledgement, as far as the log lines tell."""
        found = unacknowledged_of(webhooks, self.webhook.event_types) if self.is_ours else None
        retries = RETRIES * RETRY_SCALE if is_local else RETRIES
        return Failing(unacknowledged=found, disabled_at=found.since + retries) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A webhook whose last attempts were not acknowledged."""

    unacknowledged: Unacknowledged
    disabled_at: datetime
    """When OneStock disables it by the retries that its documentation names."""

    def time_left(self, now: datetime) -> str:
        """Return how long it is until then, in words; empty if the time has passed."""
        seconds = int((self.disabled_at - now).total_seconds())
        if seconds <= 0:
            return ""
        minutes = seconds // 60
        return f"{seconds} s" if minutes < 1 else "1 minute" if minutes == 1 else f"{minutes} minutes"


def webhooks_at_onestock(environ: Mapping[str, str]) -> list[SeenWebhook]:
    """Return all webhooks of the site, ours first. Raises ConfigurationError and OneStockError."""
    settings = WebhookSettings.from_environ(environ)
    with closing(OneStock.connected(settings)) as onestock:
        found = onestock.list_webhooks()
    sightings = sightings_in(environ)
    seen = [SeenWebhook(check=_check(webhook, sightings), is_ours=settings.is_ours(webhook.url)) for webhook in found]
    return sorted(seen, key=lambda one: not one.is_ours)


def set_status(environ: Mapping[str, str], id_: str, status: WebhookStatus) -> None:
    """Set the status of one webhook. Raises ConfigurationError and OneStockError."""
    with closing(OneStock.connected(WebhookSettings.from_environ(environ))) as onestock:
        onestock.set_webhook_status(id_, status)


def _check(webhook: RegisteredWebhook, sightings: Sightings) -> WebhookCheck:
    """Return the check of a webhook with what the watchdog remembers, where that can be read."""
    try:
        return check_of(webhook, sightings.get(webhook.id))
    except StoreError as error:
        return WebhookCheck(webhook=webhook, may_miss_events=webhook.is_disabled, problem=str(error))
