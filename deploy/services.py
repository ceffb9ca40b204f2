"""The two Cloud Run services: how they run, how a new revision is tried, promoted and taken back.

A revision is deployed without traffic under the tag `candidate`. Promoting gives it all traffic and the tag `previous`
to the one before, so that a rollback is one command without any memory.
"""

import re
from dataclasses import dataclass
from typing import Any

from deploy import plan
from deploy.errors import DeployError, WrongUse
from deploy.gcloud import Command, Gcloud
from deploy.installation import Installation
from deploy.resources import Change, Grant
from deploy.wanted.pubsub import ACK_DEADLINE_SECONDS

CANDIDATE, PREVIOUS = "candidate", "previous"
RECEIVER_TIMEOUT_SECONDS = 15  # OneStock waits no longer; the receiver gives up after PUBLISH_BUDGET_SECONDS, 10.
LEASE_SECONDS = ACK_DEADLINE_SECONDS + 60
_BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_PORT = 8080


@dataclass(frozen=True, slots=True)
class Services:
    """The services of one installation."""

    installation: Installation
    gcloud: Gcloud

    def deploy(self, role: str, image: str) -> None:
        """Deploy `image` as the receiver or the worker. All traffic stays where it is, but at the very first time.

        Raises WrongUse for an image that is named by tag: a tag can move between the two deployments.
        """
        if not _BY_DIGEST.fullmatch(image):
            raise WrongUse(f"{image}: name the image by its digest, NAME@sha256:...")
        name = self.name(role)
        later = ("--no-traffic",) if self._running(name) else ()
        shape = self._receiver() if role == "receiver" else self._worker()
        self.gcloud.change(
            (*("run", "deploy", name, self._where, f"--image={image}", f"--tag={CANDIDATE}"), *later, *shape)
        )
        if role == "worker":
            plan.carry_out(self.gcloud, plan.changes(self.gcloud, [self._caller(name)]), say=lambda _: None)

    def candidate_url(self, role: str) -> str:
        """Return where the revision deployed last can be called before it has traffic. Raises DeployError."""
        return str(self._target(self.name(role), CANDIDATE)["url"])

    def promote(self, role: str) -> str:
        """Give all traffic to the candidate and return its revision's name. Raises DeployError."""
        name = self.name(role)
        new = str(self._target(name, CANDIDATE)["revisionName"])
        serving = [target for target in self._targets(name) if target.get("percent") == 100]  # noqa: PLR2004 - all of it
        old = str(serving[0].get("revisionName", new)) if serving else new
        tags = () if old == new else (f"--update-tags={PREVIOUS}={old}",)
        self.gcloud.change((*self._traffic(name), f"--to-revisions={new}=100", *tags))
        return new

    def rollback(self, role: str) -> str:
        """Give all traffic back to the revision before and return its name. Raises DeployError if there is none."""
        name = self.name(role)
        old = str(self._target(name, PREVIOUS)["revisionName"])
        self.gcloud.change((*self._traffic(name), f"--to-revisions={old}=100"))
        return old

    def url(self, role: str) -> str:
        """Return where the service is called. Raises DeployError if it is not there."""
        name = self.name(role)
        service = self._running(name)
        if service is None:
            raise DeployError(f"{name}: there is no such service in {self.installation.region}; deploy it first")
        return str(service["status"]["url"])

    def removals(self) -> list[Change]:
        """Return what deletes the services: the receiver first, so that nothing is published that nobody handles."""
        names = [name for name in map(self.name, ("receiver", "worker")) if self._running(name)]
        commands = [("run", "services", "delete", name, self._where) for name in names]
        return [Change(what=f"delete service {command[3]}", command=command) for command in commands]

    def name(self, role: str) -> str:
        """Return the service's name."""
        return self.installation.receiver_service if role == "receiver" else self.installation.worker_service

    @property
    def _where(self) -> str:
        return f"--region={self.installation.region}"

    def _traffic(self, name: str) -> Command:
        return ("run", "services", "update-traffic", name, self._where)

    def _running(self, name: str) -> dict[str, Any] | None:
        rows = self.gcloud.read(("run", "services", "list", self._where)) or []
        return next((row for row in rows if row["metadata"]["name"] == name), None)

    def _targets(self, name: str) -> list[dict[str, Any]]:
        service = self._running(name)
        targets: list[dict[str, Any]] = ((service or {}).get("status") or {}).get("traffic") or []
        return targets

    def _target(self, name: str, tag: str) -> dict[str, Any]:
        for target in self._targets(name):
            if target.get("tag") == tag:
                return target
        raise DeployError(f"{name}: no revision has the tag {tag} in {self.installation.region}; deploy it first")

    def _caller(self, name: str) -> Grant:
        push = f"serviceAccount:{self.installation.account('push')}"
        group = ("run", "services")
        return Grant(group=group, name=name, flags=(self._where,), member=push, role="roles/run.invoker")

    def _receiver(self) -> Command:
        settings = self.installation
        environ = {
            "GOOGLE_CLOUD_PROJECT": settings.project,
            "PUBSUB_TOPIC": settings.pubsub_topic,
            "LOG_CONTENT": settings.log_content,
            "ONESTOCK_SIGNATURE": settings.onestock_signature,
            "ONESTOCK_RECORD_UNTIL": settings.onestock_record_until,
            "ONESTOCK_SIGNED_STRING": settings.onestock_signed_string,
            **_pairs(settings.receiver_settings),
        }
        return (
            *self._shape("receiver", environ, {"ONESTOCK_HASH_KEYS": settings.hash_keys_secret}),
            "--ingress=all",
            "--allow-unauthenticated",  # OneStock's signature is the authentication.
            f"--timeout={RECEIVER_TIMEOUT_SECONDS}s",
            f"--concurrency={settings.receiver_concurrency}",
            f"--min={settings.receiver_min}",
            f"--max-instances={settings.receiver_max}",
            f"--cpu={settings.receiver_cpu}",
            f"--memory={settings.receiver_memory}",
        )

    def _worker(self) -> Command:
        settings = self.installation
        return (
            *self._shape("worker", self._worker_environ(), self._worker_secrets()),
            "--no-allow-unauthenticated",
            "--ingress=internal",  # Pub/Sub and Cloud Scheduler of this project, and nobody else.
            f"--timeout={ACK_DEADLINE_SECONDS}s",
            f"--concurrency={settings.worker_concurrency}",
            f"--min={settings.worker_min}",
            f"--max-instances={settings.worker_max}",
            f"--cpu={settings.worker_cpu}",
            f"--memory={settings.worker_memory}",
        )

    def _worker_environ(self) -> dict[str, str]:
        settings = self.installation
        onestock = {
            "ONESTOCK_API_URL": settings.onestock_api_url,
            "ONESTOCK_SITE_ID": settings.onestock_site_id,
            "ONESTOCK_USER_ID": settings.onestock_user_id,
        }
        return {
            "GOOGLE_CLOUD_PROJECT": settings.project,
            "PUBSUB_DEAD_LETTER_TOPIC": settings.pubsub_dead_letter_topic,
            "LOG_CONTENT": settings.log_content,
            "PUSH_AUTH": "oidc",
            "PUSH_AUDIENCE": settings.worker_url,
            "PUSH_SERVICE_ACCOUNT": settings.account("push"),
            "IDEMPOTENCY_STORE": "firestore",
            "FIRESTORE_DATABASE": settings.firestore_database,
            "HANDLER_BUDGET_SECONDS": settings.handler_budget_seconds,
            "ACK_DEADLINE_SECONDS": str(ACK_DEADLINE_SECONDS),
            "LEASE_SECONDS": str(LEASE_SECONDS),
            # Above the concurrency: else the liveness probe waits behind slow handlers and kills them.
            "WORKER_THREADS": str(int(settings.worker_concurrency) + 4),
            **(onestock if settings.calls_onestock else {}),
            **_pairs(settings.worker_settings),
        }

    def _worker_secrets(self) -> dict[str, str]:
        settings = self.installation
        secrets = {"ONESTOCK_PASSWORD": settings.password_secret} if settings.calls_onestock else {}
        if settings.destinations_secret:
            secrets["DESTINATION_SECRETS"] = settings.destinations_secret
        return secrets

    def _shape(self, role: str, environ: dict[str, str], secrets: dict[str, str]) -> Command:
        probe = f"httpGet.path=/health,httpGet.port={_PORT}"
        variables = "|".join(f"{name}={value}" for name, value in environ.items())
        references = ",".join(f"{name}={secret}:{self._version(secret)}" for name, secret in secrets.items())
        return (
            f"--service-account={self.installation.account(role)}",
            "--command=gunicorn",
            f"--args=main:{role}()",
            f"--port={_PORT}",
            "--cpu-boost",
            "--cpu-throttling",
            f"--startup-probe={probe},periodSeconds=1,timeoutSeconds=1,failureThreshold=60",
            f"--liveness-probe={probe},periodSeconds=10,timeoutSeconds=5,failureThreshold=6",
            f"--set-env-vars=^|^{variables}",
            f"--set-secrets={references}" if references else "--clear-secrets",
        )

    def _version(self, secret: str) -> str:
        """Return the newest version: pinned, so that a new key comes with a revision that can be taken back."""
        newest = self.gcloud.read(("secrets", "versions", "describe", "latest", f"--secret={secret}"))
        return str(newest["name"]).rpartition("/")[2]


def _pairs(settings: str) -> dict[str, str]:
    return dict(each.split("=", 1) for each in settings.split())
