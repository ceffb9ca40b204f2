"""The commands that mend a fault, ready to be pasted into a shell. No I/O."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from relay.doctor.facts import EVERYBODY, Service
from relay.settings.doctor import DoctorSettings
from relay.topology import (
    DEAD_LETTER_ACK_DEADLINE_SECONDS,
    DEAD_LETTER_TOPIC_RETENTION_SECONDS,
    SUBSCRIPTION_RETENTION_SECONDS,
    TOPIC_RETENTION_SECONDS,
    Topology,
)

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
    """Return the command that creates the topic of the events, or that of the dead letters."""
    is_dead_letters = name == wanted.dead_letter_topic
    seconds = DEAD_LETTER_TOPIC_RETENTION_SECONDS if is_dead_letters else TOPIC_RETENTION_SECONDS
    return _pubsub("topics create", name, wanted.project, retention(seconds))


def update_topic(wanted: Topology, name: str, *flags: str) -> str:
    """Return the command that changes a topic."""
    return _pubsub("topics update", name, wanted.project, *flags)


def update_subscription(wanted: Topology, name: str, *flags: str) -> str:
    """Return the command that changes a subscription."""
    return _pubsub("subscriptions update", name, wanted.project, *flags)


def delete_subscription(wanted: Topology, name: str) -> str:
    """Return the command that deletes a subscription."""
    return _pubsub("subscriptions delete", name, wanted.project)


def seek_back(wanted: Topology, name: str, retention_seconds: int) -> str:
    """Return the command that makes all messages that the topic has kept undelivered again."""
    moment = f"\"$(date -u -d '{retention_seconds // _DAY_SECONDS} days ago' +%Y-%m-%dT%H:%M:%SZ)\""
    return f"{_pubsub('subscriptions seek', name, wanted.project)} --time={moment}"


def create_push_subscription(wanted: Topology, identity: tuple[str, ...]) -> str:
    """Return the command that creates the push subscription; `identity` are the flags of `push_identity`."""
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
        retention(SUBSCRIPTION_RETENTION_SECONDS),
        *back_off(wanted),
        *dead_letter_policy(wanted),
    )


def create_dead_letter_subscription(wanted: Topology) -> str:
    """Return the command that creates the pull subscription that keeps the dead letters."""
    return _pubsub(
        "subscriptions create",
        wanted.dead_letter_subscription,
        wanted.project,
        f"--topic={wanted.dead_letter_topic}",
        f"--ack-deadline={DEAD_LETTER_ACK_DEADLINE_SECONDS}",
        NEVER,
        retention(wanted.dead_letter_retention_seconds),
    )


def back_off(wanted: Topology) -> tuple[str, ...]:
    """Return the flags for the pauses between delivery attempts."""
    return (f"--min-retry-delay={wanted.min_backoff_seconds}s", f"--max-retry-delay={wanted.max_backoff_seconds}s")


def dead_letter_policy(wanted: Topology) -> tuple[str, ...]:
    """Return the flags for the number of delivery attempts and the topic that follows them."""
    attempts = f"--max-delivery-attempts={wanted.max_delivery_attempts}"
    return (f"--dead-letter-topic={wanted.dead_letter_topic}", attempts)


def push_identity(account: str | None, audience: str | None) -> tuple[str, ...]:
    """Return the flags for the token that goes with each push."""
    if not account:
        return ()
    of_audience = (f"--push-auth-token-audience={audience}",) if audience else ()
    return (f"--push-auth-service-account={account}", *of_audience)


def resume(wanted: Topology) -> str:
    """Return the command that ends a pause."""
    return f"{_environ(wanted.project, PUBSUB_SUBSCRIPTION=wanted.subscription)} relay resume"


def apply_watch(project: str, email: str) -> str:
    """Return the command that sets up the alerts again, and whom they tell."""
    return f"{_environ(project, ALERT_EMAIL=email)} python -m deploy apply watch"


def grant(group: str, name: str, project: str, *, member: str, role: str) -> str:
    """Return the command that adds a grant; `group` is gcloud's; `member` may hold `$(...)`."""
    binding = shlex.join(["gcloud", *group.split(), "add-iam-policy-binding", name, f"--project={project}"])
    return f'{binding} --role={role} --member="{member}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudRun:
    """The commands for one Cloud Run service."""

    service: str
    project: str
    region: str
    is_pinned: bool
    """Whether the traffic goes to revisions by name: a change then also needs the traffic to go to the latest one."""

    def update(self, *flags: str, variables: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Return the commands that change the service and its environment variables, and let the change take effect."""
        changed = [f"--update-env-vars={key}={value}" for key, value in (variables or {}).items()]
        update = self._run("services", "update", self.service, *flags, *changed)
        return (update, self.send_traffic_to_latest()) if self.is_pinned else (update,)

    def switch_invoker_check(self, *, on: bool) -> str:
        """Return the command that switches the invoker check on or off; it needs no new revision."""
        return self._run("services", "update", self.service, f"--{'' if on else 'no-'}invoker-iam-check")

    def refuse_strangers(self) -> str:
        """Return the command that takes the invoker role from everybody."""
        flags = (f"--member={EVERYBODY}", "--role=roles/run.invoker")
        return self._run("services", "remove-iam-policy-binding", self.service, *flags)

    def send_traffic_to_latest(self) -> str:
        """Return the command that sends all traffic to the latest revision, whichever that will be."""
        return self._run("services", "update-traffic", self.service, "--to-latest")

    def _run(self, *words: str) -> str:
        return shlex.join(["gcloud", "run", *words, f"--project={self.project}", f"--region={self.region}"])


def of_service(settings: DoctorSettings, name: str, service: object) -> CloudRun:
    """Return the commands for a service as it runs."""
    is_pinned = isinstance(service, Service) and service.is_pinned
    return CloudRun(service=name, project=settings.project, region=settings.region, is_pinned=is_pinned)


def _environ(project: str, **variables: str) -> str:
    return " ".join(
        f"{name}={shlex.quote(value)}" for name, value in {"GOOGLE_CLOUD_PROJECT": project, **variables}.items()
    )


def _pubsub(verb: str, name: str, project: str, *flags: str) -> str:
    return shlex.join(["gcloud", "pubsub", *verb.split(), name, f"--project={project}", *flags])
