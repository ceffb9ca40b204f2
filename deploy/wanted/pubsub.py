"""Topics, subscriptions, and who may publish. Their settings are those of the local run (relay/topology.toml)."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from deploy.gcloud import Command
from deploy.installation import Installation
from deploy.resources import AgentGrants, Grant, Item, Resource
from deploy.topology import DECLARED

_PUSHED = DECLARED["subscription"]
_PULLED = DECLARED["dead_letter_subscription"]
ACK_DEADLINE_SECONDS: int = _PUSHED["ack_deadline_seconds"]
_API = "pubsub.googleapis.com"
_TOPICS = ("pubsub", "topics")
_SUBSCRIPTIONS = ("pubsub", "subscriptions")
TOPICS_LISTED: Command = (*_TOPICS, "list")
_DAY_SECONDS = 86_400
_PUBLISHER = "roles/pubsub.publisher"


def items(installation: Installation) -> list[Item]:
    """Return the declared items."""
    regions = installation.pubsub_regions
    events = topic(installation.pubsub_topic, retention=days(DECLARED["topic"]), regions=regions)
    dead_letters = topic(
        installation.pubsub_dead_letter_topic, retention=days(DECLARED["dead_letter_topic"]), regions=regions
    )
    agent = installation.member("pubsub")
    push = _push(installation)
    return [
        dead_letters,
        events,
        _dead_letters_pull(installation),
        push,
        dataclasses.replace(topic(pause_marker(installation), retention=days(DECLARED["topic"])), is_applied=False),
        AgentGrants(
            service=_API,
            grants=(
                Grant.on_resource(dead_letters, agent, _PUBLISHER),
                Grant.on_resource(push, agent, "roles/pubsub.subscriber"),
            ),
        ),
        Grant.on_resource(events, installation.member("receiver"), _PUBLISHER),
        Grant.on_resource(dead_letters, installation.member("worker"), _PUBLISHER),
    ]


def topic(name: str, *, retention: str, regions: str = "") -> Resource:
    """Return a topic that keeps what was published for `retention`, for a seek back; in `regions` only, if any."""
    flags: Command = (f"--message-retention-duration={retention}",)
    settings: dict[str, Any] = {"messageRetentionDuration": seconds(retention)}
    if regions:
        flags += (f"--message-storage-policy-allowed-regions={regions}",)
        settings["messageStoragePolicy"] = {"allowedPersistenceRegions": regions.split(",")}
    return Resource(
        what=f"topic {name}",
        api=_API,
        listed_by=TOPICS_LISTED,
        identity={"name": name},
        settings=settings,
        create=(*_TOPICS, "create", name, *flags),
        update=(*_TOPICS, "update", name, *flags),
        delete=(*_TOPICS, "delete", name),
    )


def subscription(
    installation: Installation,
    name: str,
    topic_name: str,
    *,
    settings: Mapping[str, Any],
    flags: Mapping[str, Command],
    only_at_creation: Command = (),
    held: Mapping[str, tuple[Command, str]] = MappingProxyType({}),
) -> Resource:
    """Return a subscription that never expires; `flags` are what makes each of the `settings`."""
    return Resource(
        what=f"subscription {name}",
        api=_API,
        listed_by=(*_SUBSCRIPTIONS, "list"),
        identity={"name": name},
        settings={
            "topic": f"projects/{installation.project}/topics/{topic_name}",
            "expirationPolicy": {},  # Never. The default removes it after 31 idle days.
            **settings,
        },
        create=(*_SUBSCRIPTIONS, "create", name, f"--topic={topic_name}", *only_at_creation),
        update=(*_SUBSCRIPTIONS, "update", name),
        flags={"expirationPolicy": ("--expiration-period=never",), **flags},
        held=held,
        delete=(*_SUBSCRIPTIONS, "delete", name),
    )


def pause_marker(installation: Installation) -> str:
    """Return the topic that `relay pause` makes and `relay resume` deletes (relay/pubsub/pausing.py)."""
    return f"{installation.pubsub_subscription}-paused"


def _push(installation: Installation) -> Resource:
    endpoint = f"{installation.worker_url}/pubsub/push"
    identity = {"serviceAccountEmail": installation.account("push"), "audience": installation.worker_url}
    retention = days(_PUSHED)
    backoff = {"min": f"{_PUSHED['min_backoff_seconds']}s", "max": f"{_PUSHED['max_backoff_seconds']}s"}
    attempts = _PUSHED["max_delivery_attempts"]
    dead_letter_topic = f"projects/{installation.project}/topics/{installation.pubsub_dead_letter_topic}"
    return subscription(
        installation,
        installation.pubsub_subscription,
        installation.pubsub_topic,
        settings={
            "pushConfig": {"pushEndpoint": endpoint, "oidcToken": identity},
            "ackDeadlineSeconds": ACK_DEADLINE_SECONDS,
            "enableMessageOrdering": True,
            "messageRetentionDuration": seconds(retention),
            "retryPolicy": {"minimumBackoff": backoff["min"], "maximumBackoff": backoff["max"]},
            "deadLetterPolicy": {"deadLetterTopic": dead_letter_topic, "maxDeliveryAttempts": attempts},
        },
        flags={
            "pushConfig": (
                f"--push-endpoint={endpoint}",
                f"--push-auth-service-account={identity['serviceAccountEmail']}",
                f"--push-auth-token-audience={identity['audience']}",
            ),
            "ackDeadlineSeconds": (f"--ack-deadline={ACK_DEADLINE_SECONDS}",),
            "messageRetentionDuration": (f"--message-retention-duration={retention}",),
            "retryPolicy": (f"--min-retry-delay={backoff['min']}", f"--max-retry-delay={backoff['max']}"),
            "deadLetterPolicy": (
                f"--dead-letter-topic={installation.pubsub_dead_letter_topic}",
                f"--max-delivery-attempts={attempts}",
            ),
        },
        only_at_creation=("--enable-message-ordering",),
        held={"pushConfig": (TOPICS_LISTED, pause_marker(installation))},
    )


def _dead_letters_pull(installation: Installation) -> Resource:
    retention = installation.dead_letter_retention
    return subscription(
        installation,
        installation.pubsub_dead_letter_subscription,
        installation.pubsub_dead_letter_topic,
        settings={
            "ackDeadlineSeconds": _PULLED["ack_deadline_seconds"],
            "messageRetentionDuration": seconds(retention),
        },
        flags={
            "ackDeadlineSeconds": (f"--ack-deadline={_PULLED['ack_deadline_seconds']}",),
            "messageRetentionDuration": (f"--message-retention-duration={retention}",),
        },
    )


def days(declared: Mapping[str, Any]) -> str:
    """Return how long a declared topic or subscription keeps messages, as gcloud reads it: `7d`."""
    return f"{declared['message_retention_days']}d"


def seconds(retention: str) -> str:
    """Turn `7d` into what the API says, `604800s`."""
    return f"{int(retention.removesuffix('d')) * _DAY_SECONDS}s"
