"""Pausing the pushes: the push subscription becomes a pull subscription, and later pushes again exactly as before.

A pause is kept in the labels of a topic made for it, `SUBSCRIPTION-paused`, until the resume deletes that topic: it
survives the operator's machine, needs no store, and is written before the subscription forgets where it pushed.

Source: "Stop and resume push delivery" and "Create and manage labels" (Google Cloud documentation).
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from google.api_core.exceptions import NotFound
from google.pubsub_v1 import PublisherClient, PushConfig, SubscriberClient, Subscription, Topic

from relay.errors import PubSubError
from relay.pubsub.calls import CALL_SECONDS, RETRY, pubsub_errors

MAX_REASON_LENGTH = 200
_SINCE = "paused-since"
_PART = "pause-"
_MAX_LABEL_LENGTH = 63  # A label's value: lower-case letters, digits, - and _. A topic has 64 labels at most.


def marker_of(subscription_path: str) -> str:
    """Return the full name of the topic whose labels hold the pause of a subscription."""
    return f"{subscription_path.replace('/subscriptions/', '/topics/')}-paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Since when and why a subscription does not push, and its push configuration before."""

    since: datetime
    reason: str
    push_config: PushConfig

    @property
    def labels(self) -> dict[str, str]:
        """The pause as labels: `paused-since` for people, the rest in base32, the alphabet that labels allow."""
        fields = {
            "since": self.since.isoformat(),
            "reason": self.reason[:MAX_REASON_LENGTH],
            "push_config": PushConfig.to_dict(self.push_config),
        }
        text = base64.b32encode(json.dumps(fields).encode()).decode().lower().rstrip("=")
        parts = [text[start : start + _MAX_LABEL_LENGTH] for start in range(0, len(text), _MAX_LABEL_LENGTH)]
        shown = f"{self.since:%Y-%m-%dt%H-%M-%Sz}"
        return {_SINCE: shown, **{f"{_PART}{number:02}": part for number, part in enumerate(parts)}}

    @classmethod
    def of_labels(cls, labels: Mapping[str, str], topic_path: str) -> Self:
        """Return the pause in a topic's labels. Raises PubSubError for labels that hold none."""
        text = "".join(labels[name] for name in sorted(labels) if name.startswith(_PART)).upper()
        try:
            fields = json.loads(base64.b32decode(text + "=" * (-len(text) % 8)))
            since = datetime.fromisoformat(fields["since"])
            return cls(since=since, reason=fields["reason"], push_config=PushConfig(fields["push_config"]))
        except (ValueError, KeyError, TypeError) as error:
            raise PubSubError(
                f"{topic_path}: its labels hold no push configuration; set the endpoint as `relay doctor` says, then "
                "delete this topic"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PushState:
    """Where a subscription pushes (empty: nowhere), how long it keeps what is not handled, and its pause, if any."""

    endpoint: str
    retention_seconds: float
    pause: Pause | None


class PushSwitch:
    """Turns the pushes of one subscription (`projects/PROJECT/subscriptions/NAME`) off and on. Raises PubSubError."""

    def __init__(self, path: str, *, subscriber: SubscriberClient, publisher: PublisherClient) -> None:
        self._path = path
        self._marker = marker_of(path)
        self._subscriber = subscriber
        self._publisher = publisher

    @classmethod
    def connected(cls, path: str) -> Self:
        """Return the switch of a subscription, with this machine's credentials. Raises PubSubError without any."""
        with pubsub_errors(path):
            return cls(path, subscriber=SubscriberClient(), publisher=PublisherClient())

    def state(self) -> PushState:
        """Return what is there."""
        found = self._subscription()
        retention = found.message_retention_duration.total_seconds()
        return PushState(
            endpoint=found.push_config.push_endpoint, retention_seconds=retention, pause=self._remembered()
        )

    def pause(self, reason: str, *, now: datetime) -> Pause:
        """Stop the pushes and return the pause; one that is in force already stays as it is."""
        push_config = self._subscription().push_config
        remembered = self._remembered()
        if not push_config.push_endpoint:
            if remembered is not None:
                return remembered
            raise PubSubError(f"{self._path} does not push, so there is nothing to pause; `relay doctor` says why")
        if remembered is not None:
            self._forget()  # An earlier pause that broke off half-way: where it pushes at this moment is what counts.
        pause = Pause(since=now.astimezone(UTC), reason=reason, push_config=push_config)
        self._remember(pause)
        self._push_to(PushConfig())
        return pause

    def resume(self) -> PushState:
        """Push again as before the pause and return the state found. A subscription that pushes keeps its endpoint."""
        state = self.state()
        if state.pause is None:
            return state
        if not state.endpoint:
            self._push_to(state.pause.push_config)
        self._forget()
        return state

    def _subscription(self) -> Subscription:
        with pubsub_errors(self._path):
            request = {"subscription": self._path}
            return self._subscriber.get_subscription(request=request, retry=RETRY, timeout=CALL_SECONDS)

    def _push_to(self, push_config: PushConfig) -> None:
        with pubsub_errors(self._path):
            request = {"subscription": self._path, "push_config": push_config}
            self._subscriber.modify_push_config(request=request, retry=RETRY, timeout=CALL_SECONDS)

    def _remembered(self) -> Pause | None:
        with pubsub_errors(self._marker):
            try:
                marker = self._publisher.get_topic(request={"topic": self._marker}, retry=RETRY, timeout=CALL_SECONDS)
            except NotFound:
                return None
        return Pause.of_labels(marker.labels, self._marker)

    def _remember(self, pause: Pause) -> None:
        with pubsub_errors(self._marker):
            marker = Topic(name=self._marker, labels=pause.labels)
            self._publisher.create_topic(request=marker, retry=RETRY, timeout=CALL_SECONDS)

    def _forget(self) -> None:
        with pubsub_errors(self._marker):
            self._publisher.delete_topic(request={"topic": self._marker}, retry=RETRY, timeout=CALL_SECONDS)
