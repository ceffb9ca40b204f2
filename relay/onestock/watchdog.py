"""The watchdog: checks the status of our webhooks at OneStock, and may enable a disabled one again.

It writes one log line for each webhook (`line`: webhook_status), from which the alerts are made: info for an enabled
webhook, a warning for a paused one, an error for a disabled one.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from relay import moments
from relay.errors import OneStockError, StoreError
from relay.onestock import OneStock, RegisteredWebhook, WebhookStatus
from relay.settings.webhooks import WatchdogSettings
from relay.stores.sightings import Sighting, Sightings

_SEVERITY = {WebhookStatus.ENABLED: logging.INFO, WebhookStatus.DISABLED: logging.ERROR}

# OneStock disables a webhook after half an hour of failed attempts, and drops the events that wait. Whether it shows
# the webhook as enabled during that half hour is open ("Webhook configuration" has both wordings).
RETRIES_SECONDS = 1_800

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCheck:
    """The status of one webhook when the watchdog looked, and what the watchdog did about it."""

    webhook: RegisteredWebhook
    missing_since: datetime | None = None
    """Half an hour before the webhook was last seen enabled: events since then may be missing. None: not known."""
    may_miss_events: bool = False
    """Whether the webhook is disabled, or was at the check before."""
    is_reenabled: bool = False
    problem: str | None = None
    """Which action failed, and why."""

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to do anything."""
        return self.webhook.status == WebhookStatus.ENABLED and not self.may_miss_events and self.problem is None


class Watchdog:
    """Checks our webhooks when it is told to; `sightings` remember how each was at the last check."""

    def __init__(
        self, onestock: OneStock, sightings: Sightings, settings: WatchdogSettings, *, now: Callable[[], datetime]
    ) -> None:
        self._onestock = onestock
        self._sightings = sightings
        self._settings = settings
        self._now = now

    def look(self) -> list[WebhookCheck]:
        """Check each of our webhooks and write a log line about each, or one that there is none. Raises as `check`."""
        checks = self.check()
        for check in checks:
            _write_line(check)
        if not checks:
            logger.error("%s", self.none_text)
        return checks

    def check(self) -> list[WebhookCheck]:
        """Check each of our webhooks, and enable it again where the settings say so.

        Raises OneStockError if OneStock does not list the webhooks. Any other failure is the `problem` of its check.
        """
        ours = [webhook for webhook in self._onestock.list_webhooks() if self._settings.is_ours(webhook.url)]
        return [self._checked(webhook) for webhook in ours]

    @property
    def none_text(self) -> str:
        """What a person on call has to know if none of the webhooks is ours."""
        return f"No webhook at OneStock leads to {self._settings.webhook_url or 'anywhere'}"

    def _checked(self, webhook: RegisteredWebhook) -> WebhookCheck:
        try:
            before, problem = self._sightings.get(webhook.id), None
            self._remember(webhook, before)
        except StoreError as error:
            before, problem = Sighting(), str(error)
        check = check_of(webhook, before, problem=problem)
        return self._reenabled(check) if webhook.is_disabled and self._settings.reenables else check

    def _remember(self, webhook: RegisteredWebhook, before: Sighting) -> None:
        # A paused webhook sends its events later: it neither begins an outage nor ends one.
        if webhook.is_disabled:
            self._sightings.put(webhook.id, replace(before, is_down=True))
        elif webhook.status == WebhookStatus.ENABLED:
            self._sightings.put(webhook.id, Sighting(enabled_at=self._now().timestamp()))

    def _reenabled(self, check: WebhookCheck) -> WebhookCheck:
        try:
            self._onestock.set_webhook_status(check.webhook.id, WebhookStatus.ENABLED)
        except OneStockError as error:
            return replace(check, problem=str(error))
        return replace(check, is_reenabled=True)


def check_of(webhook: RegisteredWebhook, before: Sighting, *, problem: str | None = None) -> WebhookCheck:
    """Return what a webhook's status says, after what the last check saw. Remembers and changes nothing."""
    if not webhook.is_disabled and not before.is_down:
        return WebhookCheck(webhook=webhook, problem=problem)
    seen_at = before.enabled_at
    since = None if seen_at is None else datetime.fromtimestamp(seen_at - RETRIES_SECONDS, UTC)
    return WebhookCheck(webhook=webhook, may_miss_events=True, missing_since=since, problem=problem)


def _write_line(check: WebhookCheck) -> None:
    webhook = check.webhook
    severity = _SEVERITY.get(WebhookStatus(webhook.status), logging.WARNING) if _is_known(webhook) else logging.WARNING
    if check.may_miss_events or check.problem:
        severity = max(severity, logging.WARNING)
    fields = {
        "line": "webhook_status",
        "status": webhook.status,
        "webhook_id": webhook.id,
        "event_types": list(webhook.event_types),
        "url": webhook.url,
        "missing_since": None if check.missing_since is None else check.missing_since.isoformat(),
        "may_miss_events": check.may_miss_events,
        "enabled_again": check.is_reenabled,
        "problem": check.problem,
    }
    logger.log(severity, "%s", text_of(check), extra={"json_fields": fields})


def text_of(check: WebhookCheck) -> str:
    """Return what a person on call has to know about one webhook, and has to do."""
    webhook = check.webhook
    text = f"Webhook {webhook.id} ({', '.join(webhook.event_types) or 'no event type'}) is {webhook.status}"
    if check.is_reenabled:
        text += ", and was enabled again"
    elif webhook.is_disabled:
        text += f": OneStock drops its events. Enable it: relay webhooks enable {webhook.id}"
    if check.may_miss_events:
        since = check.missing_since
        text += "; events may be missing since "
        text += (
            f"{moments.shown(since)}: relay reconcile --since {moments.as_option(since)}"
            if since is not None
            else "a time that nobody has seen: relay reconcile --since TIME"
        )
    return f"{text}; {check.problem}" if check.problem else text


def _is_known(webhook: RegisteredWebhook) -> bool:
    return webhook.status in list(WebhookStatus)
