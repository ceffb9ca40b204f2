"""A rotation of the hash key in which the receiver refuses no message.

No call is known that changes the key of a webhook (docs/onestock.md, S6), so each webhook gets a successor with the new
key.

    the receiver knows    old      old + new                                          new
    old webhook signs     old      old      old     paused    disabled
    its successor signs                     new     new       new       new           new

While both are enabled, OneStock sends each event twice, byte for byte the same: the relay sees one event and handles it
once. During the overlap the old webhook sends the events that wait in its queue. OneStock does not show how many these
are, and drops the rest when the old webhook is disabled.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import SecretStr

from relay.errors import ConfigurationError, OneStockError
from relay.onestock.client import OneStock
from relay.onestock.models import RegisteredWebhook, WebhookStatus

_POLL_SECONDS = 5.0


class Rotation:
    """One rotation. It notes in `journal` what it has done, so that it can go on after an interruption."""

    def __init__(
        self,
        onestock: OneStock,
        journal: Path,
        *,
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raise ConfigurationError if `journal` is a file of another kind."""
        self._onestock = onestock
        self._journal = journal
        self._say = say
        self._sleep = sleep
        self._clock = clock
        self.successors: dict[str, str] = {}
        """The id of each old webhook's successor, by the old webhook's id."""
        self._is_drained = False
        if journal.exists():
            try:
                noted = json.loads(journal.read_text())
                self.successors, self._is_drained = dict(noted["successors"]), bool(noted["is_drained"])
            except (ValueError, TypeError, KeyError) as error:
                raise ConfigurationError(f"{journal}: is no journal of a rotation; name another file") from error

    def old_ones(self, webhooks: Sequence[RegisteredWebhook]) -> list[RegisteredWebhook]:
        """Return the webhooks that get a successor, or have one already.

        Raises ConfigurationError if one of them does not send: its successor would send newer events first.
        """
        wanted = [webhook for webhook in webhooks if webhook.id not in self.successors.values()]
        old = [webhook for webhook in wanted if webhook.id in self.successors or not webhook.is_disabled]
        waiting = [
            webhook.id
            for webhook in old
            if webhook.status != WebhookStatus.ENABLED and webhook.id not in self.successors
        ]
        if waiting:
            raise ConfigurationError(
                f"{', '.join(waiting)}: not enabled, or just repeating a message; wait, or enable it, and start again"
            )
        return old

    def run(self, old: Sequence[RegisteredWebhook], *, key: SecretStr, overlap_seconds: float) -> None:
        """Replace the webhooks `old` by their successors, phase by phase. After a OneStockError, run it again."""
        for webhook in old:
            self._succeed(webhook, key)
        if not self._is_drained:
            self._wait_until_drained([webhook.id for webhook in old], overlap_seconds)
            self._is_drained = True
            self._note()
        self._set_all(old, WebhookStatus.PAUSED)
        self._check_successors(old)
        self._set_all(old, WebhookStatus.DISABLED)

    def _succeed(self, webhook: RegisteredWebhook, key: SecretStr) -> None:
        if webhook.id in self.successors:
            return
        known = {known.id for known in self._onestock.list_webhooks()}
        for event_type in webhook.event_types:
            self._onestock.create_webhook(event_type, webhook.url, hash_key=key)
        made = [new for new in self._onestock.list_webhooks() if new.id not in known and new.url == webhook.url]
        if len(made) != len(webhook.event_types):
            raise ConfigurationError(
                f"{webhook.url}: {len(made)} webhooks are new there, not {len(webhook.event_types)}; see: webhooks list"
            )
        self.successors[webhook.id] = made[-1].id
        self._note()
        self._say(f"{made[-1].id} with the new key beside {webhook.id}: {webhook.url}")

    def _wait_until_drained(self, ids: Sequence[str], overlap_seconds: float) -> None:
        """Wait for `overlap_seconds`, and until no old webhook repeats a message."""
        self._say(f"both send for {overlap_seconds:g} s; the relay handles an event that comes twice once")
        ends_at = self._clock() + overlap_seconds
        while self._clock() < ends_at or not self._are_enabled(ids):
            self._sleep(min(_POLL_SECONDS, overlap_seconds or _POLL_SECONDS))

    def _are_enabled(self, ids: Sequence[str]) -> bool:
        by_id = self._by_id()
        return all(by_id[id_].status in (WebhookStatus.ENABLED, WebhookStatus.DISABLED) for id_ in ids if id_ in by_id)

    def _check_successors(self, old: Sequence[RegisteredWebhook]) -> None:
        by_id = self._by_id()
        failing = [
            new for id_ in (webhook.id for webhook in old) if by_id[new := self.successors[id_]].status != "enabled"
        ]
        if not failing:
            return
        self._set_all(old, WebhookStatus.ENABLED)
        self._is_drained = False
        self._note()
        raise OneStockError(
            "rotation of the hash key",
            f"{', '.join(failing)}: not enabled, so the old webhooks send again. See why they fail, then start again",
        )

    def _set_all(self, old: Sequence[RegisteredWebhook], status: WebhookStatus) -> None:
        by_id = self._by_id()
        for webhook in old:
            if by_id[webhook.id].status != status:
                self._onestock.set_webhook_status(webhook.id, status)
                self._say(f"{webhook.id} is {status}")

    def _note(self) -> None:
        self._journal.write_text(json.dumps({"successors": self.successors, "is_drained": self._is_drained}, indent=2))

    def _by_id(self) -> Mapping[str, RegisteredWebhook]:
        return {webhook.id: webhook for webhook in self._onestock.list_webhooks()}
