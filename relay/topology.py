"""The topics and subscriptions of an installation, as relay/topology.toml declares them. Creates nothing.

`relay.pubsub.provisioning` creates them; deploy/ reads the same file.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DAY_SECONDS = 86_400


def _declared() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


_DECLARED = _declared()
_PUSH = _DECLARED["subscription"]
_DEAD_LETTERS = _DECLARED["dead_letter_subscription"]

DEFAULT_TOPIC: str = _DECLARED["names"]["topic"]
DEFAULT_SUBSCRIPTION: str = _DECLARED["names"]["subscription"]
DEFAULT_DEAD_LETTER_TOPIC: str = _DECLARED["names"]["dead_letter_topic"]
DEFAULT_DEAD_LETTER_SUBSCRIPTION: str = _DECLARED["names"]["dead_letter_subscription"]

TOPIC_RETENTION_SECONDS: int = _DECLARED["topic"]["message_retention_days"] * _DAY_SECONDS
SUBSCRIPTION_RETENTION_SECONDS: int = _PUSH["message_retention_days"] * _DAY_SECONDS
DEAD_LETTER_TOPIC_RETENTION_SECONDS: int = _DECLARED["dead_letter_topic"]["message_retention_days"] * _DAY_SECONDS
DEAD_LETTER_RETENTION_SECONDS: int = _DEAD_LETTERS["message_retention_days"] * _DAY_SECONDS
EMULATOR_DEAD_LETTER_RETENTION_SECONDS: int = _DEAD_LETTERS["emulator_message_retention_days"] * _DAY_SECONDS
LEAST_DEAD_LETTER_RETENTION_SECONDS: int = _DEAD_LETTERS["least_message_retention_days"] * _DAY_SECONDS
DEAD_LETTER_ACK_DEADLINE_SECONDS: int = _DEAD_LETTERS["ack_deadline_seconds"]

MAX_DELIVERY_ATTEMPTS: int = _PUSH["max_delivery_attempts"]
LONGEST_RETRY_PAUSE_SECONDS: int = _PUSH["max_backoff_seconds"] + _PUSH["ack_deadline_seconds"]
"""From the line of a failed delivery to the line of the next one: the back-off, then the handlers' longest run."""

# An event can come back for the last time when it has waited on the topic, become a dead letter on its last day there,
# and is redriven on the last day that the dead letter is kept. The day is a margin for clocks and for people.
LAST_RETURN_SECONDS = TOPIC_RETENTION_SECONDS + DEAD_LETTER_TOPIC_RETENTION_SECONDS + _DAY_SECONDS
# The event that came back may wait on the topic once more before the worker handles it.
COMPLETED_RUNS_ARE_REMEMBERED_SECONDS = LAST_RETURN_SECONDS + SUBSCRIPTION_RETENTION_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The names (short) and limits (seconds) of one installation."""

    project: str
    topic: str = DEFAULT_TOPIC
    subscription: str = DEFAULT_SUBSCRIPTION
    dead_letter_topic: str = DEFAULT_DEAD_LETTER_TOPIC
    dead_letter_subscription: str = DEFAULT_DEAD_LETTER_SUBSCRIPTION
    push_endpoint: str
    ack_deadline_seconds: int = _PUSH["ack_deadline_seconds"]
    min_backoff_seconds: int = _PUSH["min_backoff_seconds"]
    max_backoff_seconds: int = _PUSH["max_backoff_seconds"]
    max_delivery_attempts: int = MAX_DELIVERY_ATTEMPTS
    dead_letter_retention_seconds: int = DEAD_LETTER_RETENTION_SECONDS
    has_dead_letter_policy: bool = True
    """False where somebody else counts the attempts and forwards to the dead-letter topic (relay.local.pushes)."""

    @property
    def topic_path(self) -> str:
        """The full name of the topic that the receiver publishes to."""
        return topic_path(self.project, self.topic)

    @property
    def dead_letter_topic_path(self) -> str:
        """The full name of the topic for what cannot be handled."""
        return topic_path(self.project, self.dead_letter_topic)

    @property
    def subscription_path(self) -> str:
        """The full name of the push subscription."""
        return subscription_path(self.project, self.subscription)

    @property
    def dead_letter_subscription_path(self) -> str:
        """The full name of the pull subscription that keeps the dead letters."""
        return subscription_path(self.project, self.dead_letter_subscription)


def local_topology(*, push_endpoint: str) -> Topology:
    """Return the topics and subscriptions of the local run."""
    return Topology(
        project="local-relay",
        push_endpoint=push_endpoint,
        min_backoff_seconds=1,
        max_backoff_seconds=5,
        dead_letter_retention_seconds=EMULATOR_DEAD_LETTER_RETENTION_SECONDS,
        has_dead_letter_policy=False,
    )


def topic_path(project: str, topic: str) -> str:
    """Return a topic's full name."""
    return f"projects/{project}/topics/{topic}"


def subscription_path(project: str, subscription: str) -> str:
    """Return a subscription's full name."""
    return f"projects/{project}/subscriptions/{subscription}"
