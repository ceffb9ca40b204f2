"""The two Cloud Run services: how they run, how a new revision is tried, promoted and taken back.

A revision is deployed without traffic under the tag `candidate`. Promoting gives all traffic to the latest revision and
the tag `previous` to the one before, so that a rollback is one command without any memory. Between a rollback and the
next promotion traffic is pinned: what `gcloud run services update` makes meanwhile gets none.
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

        Raises WrongUse for an image that is named by tag: a tag can move between the two deployments. Raises
        DeployError where its callers may not be granted access; a service that runs is then left as it is.
        """
        if not _BY_DIGEST.fullmatch(image):
            raise WrongUse(f"{image}: name the image by its digest, NAME@sha256:...")
        name = self.name(role)
        runs = self.exists(role)
        if runs:
            self._admit_callers(role)  # Before: the new setting of the invoker check holds for what serves, too.
        later = ("--no-traffic",) if runs else ()
        shape = self._receiver() if role == "receiver" else self._worker()
        self.gcloud.change(
            (*("run", "deploy", name, self._where, f"--image={image}", f"--tag={CANDIDATE}"), *later, *shape)
        )
        if not runs:
            self._admit_callers(role)

    def candidate_url(self, role: str) -> str:
        """Return where the revision deployed last can be called before it has traffic. Raises DeployError."""
        return str(_target(self._service(self.name(role)), CANDIDATE)["url"])

    def promote(self, role: str) -> str:
        """Give all traffic to the candidate and return its revision's name. Raises DeployError."""
        name = self.name(role)
        service = self._service(name)
        new = str(_target(service, CANDIDATE)["revisionName"])
        latest = service["status"]["latestCreatedRevisionName"]
        if latest != new:
            raise DeployError(f"{name}: {latest} was made after the candidate {new}; deploy again, then promote")
        old = _serving(service) or new
        tags = () if old == new else (f"--update-tags={PREVIOUS}={old}",)
        self.gcloud.change((*self._traffic(name), "--to-latest", *tags))
        return new

    def rollback(self, role: str) -> str:
        """Give all traffic back to the revision before and return its name. Raises DeployError if there is none."""
        name = self.name(role)
        old = str(_target(self._service(name), PREVIOUS)["revisionName"])
        self.gcloud.change((*self._traffic(name), f"--to-revisions={old}=100"))
        return old

    def serving_image(self, role: str) -> str:
        """Return the image of the revision that has the traffic. Raises DeployError if there is not one."""
        name = self.name(role)
        serving = _serving(self._service(name))
        if serving is None:
            raise DeployError(f"{name}: several revisions share the traffic; give it to one, then try again")
        revision = self.gcloud.read(("run", "revisions", "describe", serving, self._where))
        return str(revision["spec"]["containers"][0]["image"])

    def url(self, role: str) -> str:
        """Return where the service is called. Raises DeployError if it is not there."""
        return str(self._service(self.name(role))["status"]["url"])

    def exists(self, role: str) -> bool:
        """Return whether the service is there."""
        return self._running(self.name(role)) is not None

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

    def _service(self, name: str) -> dict[str, Any]:
        service = self._running(name)
        if service is None:
            raise DeployError(f"{name}: there is no such service in {self.installation.region}; deploy it first")
        return service

    def _admit_callers(self, role: str) -> None:
        settings, is_public = self.installation, role == "receiver"
        if is_public and settings.receiver_access == "no-iam-check":
            return
        grant = Grant(
            group=("run", "services"),
            name=self.name(role),
            flags=(self._where,),
            member="allUsers" if is_public else settings.member("push"),
            role="roles/run.invoker",
        )
        try:
            for change in plan.changes(self.gcloud, [grant]):
                # An organisation's refusal does not pass by waiting.
                self.gcloud.change(change.command, patience_seconds=0 if is_public else change.patience_seconds)
        except DeployError as error:
            advice = "; where allUsers is refused, set RECEIVER_ACCESS=no-iam-check" if is_public else ""
            raise DeployError(f"{error}{advice}") from error

    def _receiver(self) -> Command:
        settings = self.installation
        # OneStock's signature is the authentication. Organisations that restrict sharing refuse a grant to allUsers.
        access = "--no-invoker-iam-check" if settings.receiver_access == "no-iam-check" else "--invoker-iam-check"
        return (
            *self._shape("receiver", settings.receiver_variables(), {"ONESTOCK_HASH_KEYS": settings.hash_keys_secret}),
            f"--ingress={settings.receiver_ingress}",
            access,
            f"--timeout={RECEIVER_TIMEOUT_SECONDS}s",
            f"--concurrency={settings.receiver_concurrency}",
            f"--min={settings.receiver_min}",
            f"--max-instances={settings.receiver_max}",
            f"--cpu={settings.receiver_cpu}",
            f"--memory={settings.receiver_memory}",
        )

    def _worker(self) -> Command:
        settings = self.installation
        limits = {"ACK_DEADLINE_SECONDS": str(ACK_DEADLINE_SECONDS), "LEASE_SECONDS": str(LEASE_SECONDS)}
        return (
            *self._shape("worker", {**limits, **settings.worker_variables()}, self._worker_secrets()),
            "--no-allow-unauthenticated",
            "--invoker-iam-check",  # PUSH_AUTH=iam relies on it.
            "--ingress=internal",  # Pub/Sub and Cloud Scheduler of this project, and nobody else.
            f"--timeout={ACK_DEADLINE_SECONDS}s",
            f"--concurrency={settings.worker_concurrency}",
            f"--min={settings.worker_min}",
            f"--max-instances={settings.worker_max}",
            f"--cpu={settings.worker_cpu}",
            f"--memory={settings.worker_memory}",
        )

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


def _targets(service: dict[str, Any]) -> list[dict[str, Any]]:
    targets: list[dict[str, Any]] = (service.get("status") or {}).get("traffic") or []
    return targets


def _target(service: dict[str, Any], tag: str) -> dict[str, Any]:
    for target in _targets(service):
        if target.get("tag") == tag:
            return target
    raise DeployError(f"{service['metadata']['name']}: no revision has the tag {tag}; deploy it first")


def _serving(service: dict[str, Any]) -> str | None:
    """Return the revision that has all traffic, None if several share it."""
    serving = [target for target in _targets(service) if target.get("percent")]
    return str(serving[0]["revisionName"]) if len(serving) == 1 else None
