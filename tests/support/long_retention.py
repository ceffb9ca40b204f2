"""Subscriptions that keep messages for up to 31 days, as Pub/Sub's do; its emulator refuses more than 7."""

from dataclasses import dataclass, field
from typing import Any

_FIELD = "messageRetentionDuration"
_EMULATORS_SECONDS, _PUBSUBS_SECONDS = 604_800, 2_678_400


@dataclass
class LongRetention:
    """What was chosen beyond the emulator's maximum, by the subscription's full name."""

    chosen: dict[str, str] = field(default_factory=dict)

    def sent(self, name: str, body: Any) -> Any:
        """Remember what a request chooses for a subscription, and return the body that the emulator takes."""
        resource = body.get("subscription", body)
        if "/subscriptions/" not in name or _FIELD not in resource:
            return body
        self.chosen.pop(name, None)
        if not _EMULATORS_SECONDS < int(resource[_FIELD].removesuffix("s")) <= _PUBSUBS_SECONDS:
            return body
        self.chosen[name] = resource[_FIELD]
        taken = {**resource, _FIELD: f"{_EMULATORS_SECONDS}s"}
        return {**body, "subscription": taken} if "subscription" in body else taken

    def shown(self, answer: Any) -> Any:
        """Return the emulator's answer with what was chosen."""
        if isinstance(answer, str):  # A topic's subscriptions are listed by their names alone.
            return answer
        if "subscriptions" in answer:
            return {**answer, "subscriptions": [self.shown(each) for each in answer["subscriptions"]]}
        if answer.get(_FIELD) == f"{_EMULATORS_SECONDS}s" and answer.get("name") in self.chosen:
            return {**answer, _FIELD: self.chosen[answer["name"]]}
        return answer
