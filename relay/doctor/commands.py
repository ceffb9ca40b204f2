"""The gcloud commands that mend things, as a person pastes them into a shell. No I/O."""

import shlex
from collections.abc import Mapping

from relay.topology import DEAD_LETTER_TOPIC_RETENTION_SECONDS, TOPIC_RETENTION_SECONDS, Topology

_DAY_SECONDS = 86_400
NEVER = "--expiration-period=never"
UNKNOWN_ENDPOINT = "https://YOUR-WORKER/pubsub/push"
ORDERING = "--enable-message-ordering"


def days(seconds: float) -> str:
    """Return a length of time as gcloud reads it."""
    return f"{seconds / _DAY_SECONDS:g}d"


def retention(seconds: float) -> str:
    """Return the flag for how long messages are kept."""
    return f"--message-retention-duration={days(seconds)}"


def create_topic(wanted: Topology, name: str) -> str:
    """Return what makes the topic of the events, or that of the dead letters."""
    is_dead_letters = name == wanted.dead_letter_topic
    seconds = DEAD_LETTER_TOPIC_RETENTION_SECONDS if is_dead_letters else TOPIC_RETENTION_SECONDS
    return _pubsub("topics create", name, wanted.project, retention(seconds))


def update_topic(wanted: Topology, name: str, *flags: str) -> str:
    """Return what changes a topic."""
    return _pubsub("topics update", name, wanted.project, *flags)


def update_subscription(wanted: Topology, name: str, *flags: str) -> str:
    """Return what changes a subscription."""
    return _pubsub("subscriptions update", name, wanted.project, *flags)


def delete_subscription(wanted: Topology, name: str) -> str:
    """Return what removes a subscription."""
    return _pubsub("subscriptions delete", name, wanted.project)


def seek_back(wanted: Topology, name: str, period: str) -> str:
    """Return what brings back what a subscription's predecessor had not delivered, as far as the topic keeps it."""
    moment = f"\"$(date -u -d '{period} ago' +%Y-%m-%dT%H:%M:%SZ)\""
    return f"{_pubsub('subscriptions seek', name, wanted.project)} --time={moment}"


def create_push_subscription(wanted: Topology, identity: tuple[str, ...]) -> str:
    """Return what makes the push subscription; `identity` are the flags of `push_identity`."""
    return _pubsub(
        "subscriptions create",
        wanted.subscription,
        wanted.project,
        f"--topic={wanted.topic}",
        f"--push-endpoint={wanted.push_endpoint or UNKNOWN_ENDPOINT}",
        *identity,
        f"--ack-deadline={wanted.ack_deadline_seconds}",
        ORDERING,
        NEVER,
        *back_off(wanted),
        *dead_letter_policy(wanted),
    )


def create_dead_letter_subscription(wanted: Topology, retention_seconds: float) -> str:
    """Return what makes the pull subscription that keeps the dead letters."""
    flags = (f"--topic={wanted.dead_letter_topic}", "--ack-deadline=60", NEVER, retention(retention_seconds))
    return _pubsub("subscriptions create", wanted.dead_letter_subscription, wanted.project, *flags)


def back_off(wanted: Topology) -> tuple[str, ...]:
    """Return the flags for the pauses between delivery attempts."""
    return (f"--min-retry-delay={wanted.min_backoff_seconds}s", f"--max-retry-delay={wanted.max_backoff_seconds}s")


def dead_letter_policy(wanted: Topology) -> tuple[str, ...]:
    """Return the flags for where a message goes that used up its delivery attempts."""
    attempts = f"--max-delivery-attempts={wanted.max_delivery_attempts}"
    return (f"--dead-letter-topic={wanted.dead_letter_topic}", attempts)


def push_identity(account: str | None, audience: str | None) -> tuple[str, ...]:
    """Return the flags for the token that goes with each push."""
    if not account:
        return ()
    of_audience = (f"--push-auth-token-audience={audience}",) if audience else ()
    return (f"--push-auth-service-account={account}", *of_audience)


def grant(group: str, name: str, project: str, *, member: str, role: str) -> str:
    """Return what adds a grant; `group` is gcloud's, such as `pubsub topics`. `member` may hold a `$(...)`."""
    binding = shlex.join(["gcloud", *group.split(), "add-iam-policy-binding", name, f"--project={project}"])
    return f'{binding} --role={role} --member="{member}"'


def update_service(
    name: str, project: str, region: str, *flags: str, variables: Mapping[str, str] | None = None
) -> str:
    """Return what changes a Cloud Run service, and its environment variables."""
    changed = [f"--update-env-vars={key}={value}" for key, value in (variables or {}).items()]
    where = [f"--project={project}", f"--region={region}"]
    return shlex.join(["gcloud", "run", "services", "update", name, *where, *flags, *changed])


def _pubsub(verb: str, name: str, project: str, *flags: str) -> str:
    return shlex.join(["gcloud", "pubsub", *verb.split(), name, f"--project={project}", *flags])
