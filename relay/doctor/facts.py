"""What Google's APIs told about a running relay, parsed once. No I/O.

Source of the fields: the REST references of Pub/Sub, Cloud Run and Cloud Monitoring.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from relay.doctor.findings import Absent, Unreadable
from relay.settings.doctor import DoctorSettings

EVERYBODY = "allUsers"
INVOKERS = ("roles/run.invoker", "roles/run.admin", "roles/editor", "roles/owner")
Missing = Absent | Unreadable


def seconds_of(value: Any) -> Any:
    """Return a duration as Google's APIs write it (`600s`) in seconds."""
    return float(value.removesuffix("s")) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(seconds_of)]


class Fact(BaseModel):
    """A resource, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True)


class Topic(Fact):
    """A topic."""

    message_retention_duration: Seconds = 0


class OidcToken(Fact):
    """The token that goes with each push: the account that it names, and its audience."""

    service_account_email: str = ""
    audience: str = ""


class PushConfig(Fact):
    """Where Pub/Sub pushes; the endpoint is empty for a pull subscription."""

    push_endpoint: str = ""
    oidc_token: OidcToken | None = None


class Expiration(Fact):
    """After how long without a reader Pub/Sub removes a subscription; None is never."""

    ttl: Seconds | None = None


class RetryPolicy(Fact):
    """The pauses between delivery attempts."""

    minimum_backoff: Seconds = 10
    maximum_backoff: Seconds = 600


class DeadLetterPolicy(Fact):
    """The topic that Pub/Sub sends a message to after so many attempts."""

    dead_letter_topic: str = ""
    max_delivery_attempts: int = 5


class Subscription(Fact):
    """A subscription; a field that the API leaves out has Pub/Sub's default."""

    topic: str
    push_config: PushConfig = PushConfig()
    ack_deadline_seconds: int = 10
    message_retention_duration: Seconds = 604_800
    enable_message_ordering: bool = False
    expiration_policy: Expiration = Expiration(ttl=2_678_400)
    retry_policy: RetryPolicy | None = None
    dead_letter_policy: DeadLetterPolicy | None = None
    filter: str = ""
    detached: bool = False


class Binding(Fact):
    """One role and its members."""

    role: str
    members: tuple[str, ...] = ()
    condition: dict[str, Any] | None = None


class Policy(Fact):
    """The IAM policy of a resource."""

    bindings: tuple[Binding, ...] = ()

    def members(self, *roles: str) -> set[str]:
        """Return the members that have one of the roles without a condition."""
        return {
            member
            for binding in self.bindings
            if binding.role in roles and binding.condition is None
            for member in binding.members
        }


class AlertPolicy(Fact):
    """An alert policy of Cloud Monitoring, and the notification channels that it tells."""

    display_name: str = ""
    enabled: bool = True
    notification_channels: tuple[str, ...] = ()


class NotificationChannel(Fact):
    """A notification channel of Cloud Monitoring, such as an e-mail address."""

    name: str
    display_name: str = ""
    labels: Mapping[str, str] = {}
    enabled: bool = True


class Traffic(Fact):
    """How much of a service's traffic goes to which revision; the revision is empty for the latest ready one."""

    type: str = ""
    revision: str = ""
    percent: int = 0

    @property
    def is_pinned(self) -> bool:
        """Whether this share goes to one revision by name, whatever is deployed later."""
        return self.type == "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


class Condition(Fact):
    """A condition of a service, such as Ready."""

    state: str = ""


class CloudRunService(Fact):
    """A service as Cloud Run's API shows it; what runs is in its revisions."""

    uri: str = ""
    urls: tuple[str, ...] = ()
    custom_audiences: tuple[str, ...] = ()
    invoker_iam_disabled: bool = False
    latest_ready_revision: str = ""
    latest_created_revision: str = ""
    traffic_statuses: tuple[Traffic, ...] = ()
    terminal_condition: Condition = Condition()

    @property
    def serving(self) -> tuple[Traffic, ...]:
        """The shares of the traffic, the largest first."""
        shares = [share for share in self.traffic_statuses if share.percent]
        return tuple(sorted(shares, key=lambda share: -share.percent))


class SecretReference(Fact):
    """The secret that holds a variable's value."""

    secret: str
    version: str = "latest"


class ValueSource(Fact):
    """Where a variable's value comes from."""

    secret_key_ref: SecretReference | None = None


class Variable(Fact):
    """An environment variable of a container."""

    name: str
    value: str = ""
    value_source: ValueSource = ValueSource()


class Container(Fact):
    """A container of a revision."""

    env: tuple[Variable, ...] = ()


class Revision(Fact):
    """A revision of a service: the container and its limits."""

    containers: tuple[Container, ...]
    timeout: Seconds = 300
    service_account: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How Cloud Run serves a service."""

    revision: str
    """The short name of the revision with most of the traffic, which the settings come from."""
    latest: str
    """The short name of the latest revision, which may have no traffic."""
    is_pinned: bool
    """Whether the traffic goes to revisions by name, so that a later deployment gets none."""
    shares: int
    """How many revisions have traffic."""
    is_ready: bool
    timeout_seconds: float
    account: str | None
    urls: tuple[str, ...]
    """Every address of Cloud Run's that reaches the service."""
    audiences: tuple[str, ...]
    """The audiences that the invoker check takes besides the addresses."""
    is_open: bool
    """Whether the invoker check is switched off for everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The receiver or the worker as it runs."""

    name: str
    """For people: where the settings come from."""
    environ: Mapping[str, str]
    unreadable: Mapping[str, str]
    """The settings whose secrets could not be read, and why."""
    url: str | None
    """Where the service is called; None if nobody has said so."""
    serving: Serving | None
    """None where Cloud Run does not run the service."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address of the service, the preferred one first."""
        addresses = (*([self.url] if self.url else []), *(self.serving.urls if self.serving else ()))
        return tuple(dict.fromkeys(addresses))

    @property
    def is_pinned(self) -> bool:
        """Whether a change of the service gets no traffic by itself."""
        return self.serving is not None and self.serving.is_pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """Since when and why somebody paused the pushes, and where the subscription pushed before."""

    since: datetime
    reason: str
    push_config: PushConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the checks look at."""

    settings: DoctorSettings
    topic: Topic | Missing
    attached: tuple[str, ...] | Missing
    """The full names of the topic's subscriptions."""
    subscription: Subscription | Missing
    paused: Paused | Missing
    dead_letter_topic: Topic | Missing
    dead_letter_subscription: Subscription | Missing
    topic_policy: Policy | Missing
    dead_letter_topic_policy: Policy | Missing
    subscription_policy: Policy | Missing
    project_policy: Policy | Missing
    receiver_policy: Policy | Missing
    worker_policy: Policy | Missing
    project_number: str | Missing
    receiver: Service | Missing
    worker: Service | Missing
    alert_policies: tuple[AlertPolicy, ...] | Missing
    channels: tuple[NotificationChannel, ...] | Missing
