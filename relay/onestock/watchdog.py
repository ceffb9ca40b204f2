"""The watchdog: looks at our webhooks at OneStock, tells of each that does not send, and may enable it again.

It writes one line for each webhook (`line`: webhook_status), which alerts are made of: info for enabled, a warning
for paused, an error for disabled.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from relay.errors import OneStockError, StoreError
from relay.onestock import OneStock, Webhook, WebhookStatus
from relay.settings.webhooks import WatchdogSettings
from relay.stores.sightings import Sighting, Sightings

_SEVERITY = {WebhookStatus.ENABLED: logging.INFO, WebhookStatus.DISABLED: logging.ERROR}

# Disabling drops what waits, too: for half an hour nothing was acknowledged. Whether a webhook is shown as enabled
# meanwhile is open ("Webhook configuration" has both wordings).
RETRIES_SECONDS = 1_800

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How one webhook was found, and what was done."""

    webhook: Webhook
    missing_since: datetime | None = None
    """Half an hour before it was last seen enabled: what happened since may be missing. None: not known."""
    may_miss_events: bool = False
    """Whether it is disabled, or was when it was looked at before."""
    is_reenabled: bool = False
    problem: str | None = None
    """What could not be done."""

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to do anything."""
        return self.webhook.status == WebhookStatus.ENABLED and not self.may_miss_events and self.problem is None


class Watchdog:
    """Looks whenever it is told to; between two looks, `sightings` remember."""

    def __init__(
        self, onestock: OneStock, sightings: Sightings, settings: WatchdogSettings, *, now: Callable[[], datetime]
    ) -> None:
        self._onestock = onestock
        self._sightings = sightings
        self._settings = settings
        self._now = now

    def look(self) -> list[Finding]:
        """Return how each of our webhooks is, once each has its line in the log.

        Raises OneStockError if OneStock cannot be asked. What fails for one webhook is that finding's problem.
        """
        ours = [webhook for webhook in self._onestock.list_webhooks() if self._settings.is_ours(webhook.url)]
        findings = [self._look_at(webhook) for webhook in ours]
        for finding in findings:
            _write_line(finding)
        if not findings:
            logger.error("No webhook at OneStock leads to %s", self._settings.webhook_url or "anywhere")
        return findings

    def _look_at(self, webhook: Webhook) -> Finding:
        try:
            before, problem = self._sightings.get(webhook.id), None
            self._remember(webhook, before)
        except StoreError as error:
            before, problem = Sighting(), str(error)
        finding = Finding(webhook=webhook, problem=problem)
        if webhook.is_disabled or before.is_down:
            seen_at = before.enabled_at
            since = None if seen_at is None else datetime.fromtimestamp(seen_at - RETRIES_SECONDS, UTC)
            finding = replace(finding, may_miss_events=True, missing_since=since)
        return self._reenabled(finding) if webhook.is_disabled and self._settings.reenables else finding

    def _remember(self, webhook: Webhook, before: Sighting) -> None:
        # A webhook that is paused sends later: it neither ends an outage nor begins one.
        if webhook.is_disabled:
            self._sightings.put(webhook.id, replace(before, is_down=True))
        elif webhook.status == WebhookStatus.ENABLED:
            self._sightings.put(webhook.id, Sighting(enabled_at=self._now().timestamp()))

    def _reenabled(self, finding: Finding) -> Finding:
        try:
            self._onestock.set_webhook_status(finding.webhook.id, WebhookStatus.ENABLED)
        except OneStockError as error:
            return replace(finding, problem=str(error))
        return replace(finding, is_reenabled=True)


def _write_line(finding: Finding) -> None:
    webhook = finding.webhook
    severity = _SEVERITY.get(WebhookStatus(webhook.status), logging.WARNING) if _is_known(webhook) else logging.WARNING
    if finding.may_miss_events or finding.problem:
        severity = max(severity, logging.WARNING)
    fields = {
        "line": "webhook_status",
        "status": webhook.status,
        "webhook_id": webhook.id,
        "event_types": list(webhook.event_types),
        "url": webhook.url,
        "missing_since": None if finding.missing_since is None else finding.missing_since.isoformat(),
        "may_miss_events": finding.may_miss_events,
        "enabled_again": finding.is_reenabled,
        "problem": finding.problem,
    }
    logger.log(severity, "%s", text_of(finding), extra={"json_fields": fields})


def text_of(finding: Finding) -> str:
    """Return what a person on call has to know, and to do, about one webhook."""
    webhook = finding.webhook
    text = f"Webhook {webhook.id} ({', '.join(webhook.event_types) or 'no event type'}) is {webhook.status}"
    if finding.is_reenabled:
        text += ", and was enabled again"
    elif webhook.is_disabled:
        text += f": OneStock drops its events. Enable it: python -m relay webhooks enable {webhook.id}"
    if finding.may_miss_events:
        since = finding.missing_since
        text += "; events may be missing since "
        text += (
            f"{since:%Y-%m-%d %H:%M:%S} UTC: python -m relay reconcile --since {since:%Y-%m-%dT%H:%M:%SZ}"
            if since is not None
            else "a time that nobody has seen: python -m relay reconcile --since TIME"
        )
    return f"{text}; {finding.problem}" if finding.problem else text


def _is_known(webhook: Webhook) -> bool:
    return webhook.status in list(WebhookStatus)
