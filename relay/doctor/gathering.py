"""Reads from Google's APIs everything that the checks look at."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, TypeVar

from relay.doctor.cloud import Cloud
from relay.doctor.facts import (
    AlertPolicy,
    CloudRunService,
    Fact,
    Facts,
    Missing,
    NotificationChannel,
    Paused,
    Policy,
    PushConfig,
    Revision,
    SecretReference,
    Service,
    Serving,
    Subscription,
    Topic,
)
from relay.doctor.findings import Unreadable
from relay.errors import PubSubError
from relay.pubsub.pausing import Pause, marker_of
from relay.settings.doctor import DoctorSettings

T = TypeVar("T", bound=Fact)


def gather(cloud: Cloud, settings: DoctorSettings, environ: Mapping[str, str]) -> Facts:
    """Return the facts. On an emulator the services' settings are those in `environ`."""
    base = f"projects/{settings.project}"
    topic, dead_letter_topic = f"{base}/topics/{settings.topic}", f"{base}/topics/{settings.dead_letter_topic}"
    dead_letter_subscription = f"{base}/subscriptions/{settings.dead_letter_subscription}"
    subscription = settings.subscription_path
    attached = cloud.get("pubsub", f"{topic}/subscriptions?pageSize=1000")
    return Facts(
        settings=settings,
        topic=_read(Topic, cloud.get("pubsub", topic)),
        attached=tuple(attached.get("subscriptions", ())) if isinstance(attached, dict) else attached,
        subscription=_read(Subscription, cloud.get("pubsub", subscription)),
        paused=_paused(cloud, subscription),
        dead_letter_topic=_read(Topic, cloud.get("pubsub", dead_letter_topic)),
        dead_letter_subscription=_read(Subscription, cloud.get("pubsub", dead_letter_subscription)),
        topic_policy=_read(Policy, cloud.policy("pubsub", topic)),
        dead_letter_topic_policy=_read(Policy, cloud.policy("pubsub", dead_letter_topic)),
        subscription_policy=_read(Policy, cloud.policy("pubsub", subscription)),
        project_policy=_read(Policy, cloud.policy("cloudresourcemanager", base)),
        receiver_policy=_read(Policy, cloud.policy("run", _path(settings, settings.receiver_service))),
        worker_policy=_read(Policy, cloud.policy("run", _path(settings, settings.worker_service))),
        project_number=_number(cloud.get("cloudresourcemanager", base)),
        receiver=_service(cloud, settings, settings.receiver_service, settings.receiver_url, environ),
        worker=_service(cloud, settings, settings.worker_service, settings.worker_url, environ),
        alert_policies=_listed(AlertPolicy, cloud, f"{base}/alertPolicies", "alertPolicies"),
        channels=_listed(NotificationChannel, cloud, f"{base}/notificationChannels", "notificationChannels"),
    )


def _read(model: type[T], resource: dict[str, Any] | Missing) -> T | Missing:
    return model.model_validate(resource) if isinstance(resource, dict) else resource


def _listed(model: type[T], cloud: Cloud, path: str, name: str) -> tuple[T, ...] | Missing:
    found = cloud.get("monitoring", f"{path}?pageSize=1000")
    return tuple(map(model.model_validate, found.get(name, ()))) if isinstance(found, dict) else found


def _number(project: dict[str, Any] | Missing) -> str | Missing:
    return str(project.get("name", "")).rpartition("/")[2] if isinstance(project, dict) else project


def _paused(cloud: Cloud, subscription: str) -> Paused | Missing:
    path = marker_of(subscription)
    marker = cloud.get("pubsub", path)
    if not isinstance(marker, dict):
        return marker
    try:
        pause = Pause.of_labels(marker.get("labels", {}), path)
    except PubSubError as error:
        return Unreadable(str(error))
    config = type(pause.push_config).to_dict(pause.push_config)
    return Paused(since=pause.since, reason=pause.reason, push_config=PushConfig.model_validate(config))


def _path(settings: DoctorSettings, service: str) -> str:
    return f"projects/{settings.project}/locations/{settings.region}/services/{service}"


def _service(
    cloud: Cloud, settings: DoctorSettings, name: str, url: str | None, environ: Mapping[str, str]
) -> Service | Missing:
    if settings.emulator_host is not None:
        return Service(name="this shell's environment", environ=environ, unreadable={}, url=url, serving=None)
    path = _path(settings, name)
    found = _read(CloudRunService, cloud.get("run", path))
    if not isinstance(found, CloudRunService):
        return found
    serving = found.serving[0].revision if found.serving else ""
    revision_name = (serving or found.latest_ready_revision or found.latest_created_revision).rpartition("/")[2]
    revision = _read(Revision, cloud.get("run", f"{path}/revisions/{revision_name}"))
    if not isinstance(revision, Revision):
        return revision
    values, unreadable = _settings_of(cloud, settings.project, revision)
    return Service(
        name=f"Cloud Run service {name}",
        environ={"K_SERVICE": name, **values},
        unreadable=unreadable,
        url=url or found.uri or None,
        serving=_serving(found, revision, revision_name),
    )


def _serving(service: CloudRunService, revision: Revision, revision_name: str) -> Serving:
    return Serving(
        revision=revision_name,
        latest=service.latest_created_revision.rpartition("/")[2],
        is_pinned=any(share.is_pinned for share in service.serving),
        shares=len(service.serving),
        is_ready=service.terminal_condition.state == "CONDITION_SUCCEEDED",
        timeout_seconds=revision.timeout,
        account=revision.service_account,
        urls=tuple(dict.fromkeys(url for url in (service.uri, *service.urls) if url)),
        audiences=service.custom_audiences,
        is_open=service.invoker_iam_disabled,
    )


def _settings_of(cloud: Cloud, project: str, revision: Revision) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values of the first container's variables, and of those that cannot be read the reasons."""
    values: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for variable in revision.containers[0].env:
        reference = variable.value_source.secret_key_ref
        value = _secret(cloud, project, reference) if reference else variable.value
        if isinstance(value, str):
            values[variable.name] = value
        else:
            unreadable[variable.name] = value.reason if isinstance(value, Unreadable) else "its secret does not exist"
    return values, unreadable


def _secret(cloud: Cloud, project: str, reference: SecretReference) -> str | Missing:
    """Return a secret's value, for the checks only: no finding may hold it."""
    path = reference.secret if "/" in reference.secret else f"projects/{project}/secrets/{reference.secret}"
    found = cloud.get("secretmanager", f"{path}/versions/{reference.version}:access")
    if not isinstance(found, dict):
        return found
    try:
        return base64.b64decode(found["payload"]["data"], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return Unreadable("its secret is not UTF-8 text")
