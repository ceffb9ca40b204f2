"""What was read of a running relay, parsed once. Source of the fields: the REST references of Pub/Sub and Cloud Run."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from relay.doctor.cloud import Cloud
from relay.doctor.findings import Absent, Unreadable
from relay.settings.doctor import DoctorSettings

T = TypeVar("T", bound="Fact")
Missing = Absent | Unreadable


def _seconds(value: Any) -> Any:
    """Read a duration as Google's APIs write it: `600s`."""
    return float(value.removesuffix("s")) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds)]


class Fact(BaseModel):
    """A resource, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True)


class Topic(Fact):
    """A topic."""

    message_retention_duration: Seconds = 0


class OidcToken(Fact):
    """Who pushes, and to whom."""

    service_account_email: str = ""
    audience: str = ""


class PushConfig(Fact):
    """Where to push; empty for a pull subscription."""

    push_endpoint: str = ""
    oidc_token: OidcToken | None = None


class Expiration(Fact):
    """After how long without a reader a subscription is removed; None is never."""

    ttl: Seconds | None = None


class RetryPolicy(Fact):
    """The pauses between delivery attempts."""

    minimum_backoff: Seconds = 10
    maximum_backoff: Seconds = 600


class DeadLetterPolicy(Fact):
    """Where a message goes after how many attempts."""

    dead_letter_topic: str = ""
    max_delivery_attempts: int = 5


class Subscription(Fact):
    """A subscription, with Pub/Sub's defaults where nothing is said."""

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
    """One role and who has it."""

    role: str
    members: tuple[str, ...] = ()
    condition: dict[str, Any] | None = None


class Policy(Fact):
    """Who may do what with a resource."""

    bindings: tuple[Binding, ...] = ()

    def members(self, *roles: str) -> set[str]:
        """Return who has one of the roles without a condition."""
        return {
            member
            for binding in self.bindings
            if binding.role in roles and binding.condition is None
            for member in binding.members
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The receiver or the worker as it runs."""

    name: str
    """For people: where the settings come from."""
    environ: Mapping[str, str]
    unreadable: Mapping[str, str]
    """Settings that lie in secrets which could not be read, and why."""
    url: str | None
    timeout_seconds: float | None
    """Cloud Run's limit of a request; None where Cloud Run is not."""
    account: str | None
    is_ready: bool | None
    """What Cloud Run says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the checks look at."""

    settings: DoctorSettings
    topic: Topic | Missing
    attached: tuple[str, ...] | Missing
    """The full names of the topic's subscriptions."""
    subscription: Subscription | Missing
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


def gather(cloud: Cloud, settings: DoctorSettings, environ: Mapping[str, str]) -> Facts:
    """Read everything. On an emulator the services' settings are those in `environ`."""
    base = f"projects/{settings.project}"
    topic, dead_letter_topic = f"{base}/topics/{settings.topic}", f"{base}/topics/{settings.dead_letter_topic}"
    subscription = f"{base}/subscriptions/{settings.subscription}"
    services = f"{base}/locations/{settings.region}/services"
    receiver, worker = f"{services}/{settings.receiver_service}", f"{services}/{settings.worker_service}"
    attached = cloud.get("pubsub", f"{topic}/subscriptions?pageSize=1000")
    project = cloud.get("cloudresourcemanager", base)
    is_local = settings.emulator_host is not None
    return Facts(
        settings=settings,
        topic=_read(Topic, cloud.get("pubsub", topic)),
        attached=tuple(attached.get("subscriptions", ())) if isinstance(attached, dict) else attached,
        subscription=_read(Subscription, cloud.get("pubsub", subscription)),
        dead_letter_topic=_read(Topic, cloud.get("pubsub", dead_letter_topic)),
        dead_letter_subscription=_read(
            Subscription, cloud.get("pubsub", f"{base}/subscriptions/{settings.dead_letter_subscription}")
        ),
        topic_policy=_read(Policy, cloud.policy("pubsub", topic)),
        dead_letter_topic_policy=_read(Policy, cloud.policy("pubsub", dead_letter_topic)),
        subscription_policy=_read(Policy, cloud.policy("pubsub", subscription)),
        project_policy=_read(Policy, cloud.policy("cloudresourcemanager", base)),
        receiver_policy=_read(Policy, cloud.policy("run", receiver)),
        worker_policy=_read(Policy, cloud.policy("run", worker)),
        project_number=str(project.get("name", "")).rpartition("/")[2] if isinstance(project, dict) else project,
        receiver=_local(environ, settings.receiver_url)
        if is_local
        else _service(cloud, receiver, settings.receiver_url),
        worker=_local(environ, settings.worker_url) if is_local else _service(cloud, worker, settings.worker_url),
    )


def _read(model: type[T], resource: dict[str, Any] | Missing) -> T | Missing:
    return model.model_validate(resource) if isinstance(resource, dict) else resource


def _local(environ: Mapping[str, str], url: str | None) -> Service:
    name = "this shell's environment"
    return Service(
        name=name, environ=environ, unreadable={}, url=url, timeout_seconds=None, account=None, is_ready=None
    )


def _service(cloud: Cloud, path: str, url: str | None) -> Service | Missing:
    found = cloud.get("run", path)
    if not isinstance(found, dict):
        return found
    template = found["template"]
    environ, unreadable = {"K_SERVICE": path.rpartition("/")[2]}, {}
    for variable in template["containers"][0].get("env", []):
        reference = variable.get("valueSource", {}).get("secretKeyRef")
        value = _secret(cloud, path.split("/")[1], reference) if reference else variable.get("value", "")
        if isinstance(value, str):
            environ[variable["name"]] = value
        else:
            unreadable[variable["name"]] = value.reason if isinstance(value, Unreadable) else "its secret is not there"
    return Service(
        name=f"Cloud Run service {environ['K_SERVICE']}",
        environ=environ,
        unreadable=unreadable,
        url=url or found.get("uri"),
        timeout_seconds=_seconds(template.get("timeout", "300s")),
        account=template.get("serviceAccount"),
        is_ready=found.get("terminalCondition", {}).get("state") == "CONDITION_SUCCEEDED",
    )


def _secret(cloud: Cloud, project: str, reference: Mapping[str, str]) -> str | Missing:
    """Return a secret's value. It is only looked at here: no finding ever holds it."""
    secret = reference["secret"]
    path = secret if "/" in secret else f"projects/{project}/secrets/{secret}"
    found = cloud.get("secretmanager", f"{path}/versions/{reference.get('version', 'latest')}:access")
    if not isinstance(found, dict):
        return found
    try:
        return base64.b64decode(found["payload"]["data"], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return Unreadable("its secret is not UTF-8 text")
