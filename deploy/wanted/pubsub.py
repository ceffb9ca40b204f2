"""Topics, subscriptions, and who may publish. Their settings are those of the local run (relay/topology.toml)."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from deploy.gcloud import Command
from deploy.installation import Installation
from deploy.resources import Grant, Item, Resource
from deploy.topology import DECLARED

Setting = tuple[Any, Command]
"""What the API says, and the flags that make it so."""

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
        Grant.on_resource(dead_letters, agent, _PUBLISHER, agent_of=_API),
        Grant.on_resource(push, agent, "roles/pubsub.subscriber", agent_of=_API),
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
    settings: Mapping[str, Setting],
    *,
    is_ordered: bool = False,
    held: Mapping[str, tuple[Command, str]] = MappingProxyType({}),
) -> Resource:
    """Return a subscription that never expires."""
    never: Setting = ({}, ("--expiration-period=never",))  # The default removes it after 31 idle days.
    changeable = {"expirationPolicy": never, **settings}
    only_at_creation = {"topic": f"projects/{installation.project}/topics/{topic_name}"}
    return Resource(
        what=f"subscription {name}",
        api=_API,
        listed_by=(*_SUBSCRIPTIONS, "list"),
        identity={"name": name},
        settings={
            **only_at_creation,
            **({"enableMessageOrdering": True} if is_ordered else {}),
            **{key: wanted for key, (wanted, _) in changeable.items()},
        },
        create=(
            *(*_SUBSCRIPTIONS, "create", name, f"--topic={topic_name}"),
            *(("--enable-message-ordering",) if is_ordered else ()),
        ),
        update=(*_SUBSCRIPTIONS, "update", name),
        flags={key: flags for key, (_, flags) in changeable.items()},
        held=held,
        delete=(*_SUBSCRIPTIONS, "delete", name),
    )


def pause_marker(installation: Installation) -> str:
    """Return the topic that `relay pause` makes and `relay resume` deletes (relay/pubsub/pausing.py)."""
    return f"{installation.pubsub_subscription}-paused"


def _push(installation: Installation) -> Resource:
    endpoint, account = f"{installation.worker_url}/pubsub/push", installation.account("push")
    audience = installation.worker_url
    least, most = f"{_PUSHED['min_backoff_seconds']}s", f"{_PUSHED['max_backoff_seconds']}s"
    attempts, dead_letter_topic = _PUSHED["max_delivery_attempts"], installation.pubsub_dead_letter_topic
    whole_dead_letter_topic = f"projects/{installation.project}/topics/{dead_letter_topic}"
    return subscription(
        installation,
        installation.pubsub_subscription,
        installation.pubsub_topic,
        {
            "pushConfig": (
                {"pushEndpoint": endpoint, "oidcToken": {"serviceAccountEmail": account, "audience": audience}},
                (
                    f"--push-endpoint={endpoint}",
                    f"--push-auth-service-account={account}",
                    f"--push-auth-token-audience={audience}",
                ),
            ),
            "retryPolicy": (
                {"minimumBackoff": least, "maximumBackoff": most},
                (f"--min-retry-delay={least}", f"--max-retry-delay={most}"),
            ),
            "deadLetterPolicy": (
                {"deadLetterTopic": whole_dead_letter_topic, "maxDeliveryAttempts": attempts},
                (f"--dead-letter-topic={dead_letter_topic}", f"--max-delivery-attempts={attempts}"),
            ),
            **_acknowledged_within(ACK_DEADLINE_SECONDS),
            **kept(days(_PUSHED)),
        },
        is_ordered=True,
        held={"pushConfig": (TOPICS_LISTED, pause_marker(installation))},
    )


def _dead_letters_pull(installation: Installation) -> Resource:
    return subscription(
        installation,
        installation.pubsub_dead_letter_subscription,
        installation.pubsub_dead_letter_topic,
        {
            **_acknowledged_within(_PULLED["ack_deadline_seconds"]),
            **kept(installation.dead_letter_retention),
        },
    )


def _acknowledged_within(deadline_seconds: int) -> dict[str, Setting]:
    return {"ackDeadlineSeconds": (deadline_seconds, (f"--ack-deadline={deadline_seconds}",))}


def kept(retention: str) -> dict[str, Setting]:
    """Return how long messages are kept, as a setting; `retention` is as gcloud reads it."""
    return {"messageRetentionDuration": (seconds(retention), (f"--message-retention-duration={retention}",))}


def days(declared: Mapping[str, Any]) -> str:
    """Return how long a declared topic or subscription keeps messages, as gcloud reads it: `7d`."""
    return f"{declared['message_retention_days']}d"


def seconds(retention: str) -> str:
    """Turn `7d` into what the API says, `604800s`."""
    return f"{int(retention.removesuffix('d')) * _DAY_SECONDS}s"
