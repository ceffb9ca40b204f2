"""The names and sizes of one installation: every setting of the deployment, with what it is for and its default.

Read from environment variables; in Cloud Build from its substitutions, which are the same names with a leading
underscore (cloudbuild.yaml: `automapSubstitutions`).
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from deploy.errors import WrongUse
from deploy.topology import DECLARED

# Source: "Method: projects.create" (Resource Manager) and "Services" (Cloud Run): these are stricter than Pub/Sub's.
_PROJECT = re.compile(r"(?:[a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_MAX_HOST_LABEL = 63
_NAMES = DECLARED["names"]


def _setting(default: str, what: str) -> str:
    """Declare a setting; the default is what cloudbuild.yaml says too."""
    named: str = field(default=default, metadata={"what": what})
    return named


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One relay in one project. A field's variable is its name in capitals."""

    project: str
    project_number: str
    region: str = _setting("europe-west1", "where the services run and the images lie")
    repository: str = _setting("onestock", "the Artifact Registry repository")
    receiver_service: str = _setting("onestock-receiver", "the Cloud Run service that OneStock calls")
    worker_service: str = _setting("onestock-worker", "the Cloud Run service that Pub/Sub pushes to")
    pubsub_topic: str = _setting(_NAMES["topic"], "the topic of all events")
    pubsub_subscription: str = _setting(_NAMES["subscription"], "the subscription that pushes to the worker")
    pubsub_dead_letter_topic: str = _setting(_NAMES["dead_letter_topic"], "the topic of what nobody could handle")
    pubsub_dead_letter_subscription: str = _setting(
        _NAMES["dead_letter_subscription"], "where the dead letters are pulled"
    )
    dead_letter_retention: str = _setting(
        f"{DECLARED['dead_letter_subscription']['message_retention_days']}d",
        "how long a dead letter waits for somebody; 7d to 31d",
    )
    hash_keys_secret: str = _setting("onestock-hash-keys", "the secret that holds the webhooks' hash keys")
    password_secret: str = _setting("onestock-password", "the secret that holds the OneStock API user's password")
    firestore_database: str = _setting("onestock-relay", "the Firestore database of the idempotency store")
    receiver_min: str = _setting("1", "receivers that always run: OneStock waits 15 s, a cold start takes some of it")
    receiver_max: str = _setting("20", "receivers at most")
    receiver_concurrency: str = _setting("80", "webhooks that one receiver takes at once")
    receiver_cpu: str = _setting("1", "vCPUs of a receiver")
    receiver_memory: str = _setting("512Mi", "memory of a receiver; each waiting webhook takes its size a few times")
    worker_min: str = _setting("0", "workers that always run; a cold start only delays an event")
    worker_max: str = _setting("10", "workers at most; what your shop's API can bear")
    worker_concurrency: str = _setting("16", "deliveries that one worker takes at once")
    worker_cpu: str = _setting("1", "vCPUs of a worker")
    worker_memory: str = _setting("512Mi", "memory of a worker")
    handler_budget_seconds: str = _setting("60", "how long one handler may take for one event")
    log_content: str = _setting("full", "how much of a webhook is logged: full, redacted or off")
    onestock_signature: str = _setting("required", "required, or record for the first days: docs/signature.md")
    onestock_record_until: str = _setting("", "when record ends, such as 2026-12-01T00:00:00Z")
    onestock_signed_string: str = _setting("timestamp.body", "what OneStock signs: timestamp.body or timestamp")
    onestock_api_url: str = _setting("", "OneStock's API, for handlers that call it; empty: none")
    onestock_site_id: str = _setting("", "the site, for OneStock's API")
    onestock_user_id: str = _setting("", "the API user; its password is in the secret")
    destinations_secret: str = _setting("", "the secret that holds DESTINATION_SECRETS; empty: none")
    receiver_settings: str = _setting("", "further settings of the receiver, as in .env.example: NAME=VALUE NAME=VALUE")
    worker_settings: str = _setting("", "further settings of the worker, alike: REFUND_URL=https://... and so on")
    alert_email: str = _setting("", "who is told when an alert fires; empty: alerts show in the console only")
    watchdog_schedule: str = _setting("", "when the worker looks at OneStock's webhooks, as in cron; empty: never")
    bigquery_dataset: str = _setting("", "archive every event into this BigQuery dataset; empty: no archive")
    armor_policy: str = _setting("", "make a Cloud Armor policy of this name; empty: none")

    @classmethod
    def variables(cls) -> dict[str, dataclasses.Field[str]]:
        """Return each setting that has a default, by its environment variable."""
        declared = dataclasses.fields(cls)
        return {each.name.upper(): each for each in declared if "what" in each.metadata}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the installation that `environ` describes; an empty variable counts as missing.

        The project's number is "" where nobody says it. Raises WrongUse.
        """
        project = environ.get("GOOGLE_CLOUD_PROJECT") or environ.get("PROJECT_ID") or ""
        if not _PROJECT.fullmatch(project):
            raise WrongUse(f"GOOGLE_CLOUD_PROJECT: {project or 'missing'}; set it to your project's id")
        found = {name: environ.get(name) or environ.get(f"_{name}") for name in cls.variables()}
        chosen = {name.lower(): value for name, value in found.items() if value}
        installation = cls(project=project, project_number=environ.get("PROJECT_NUMBER", ""), **chosen)
        installation._check()
        return installation

    def _check(self) -> None:
        if self.worker_concurrency == "0" or not self.worker_concurrency.isdecimal():
            raise WrongUse(f"WORKER_CONCURRENCY: {self.worker_concurrency}; set it to a number from 1")
        host = f"{self.worker_service}-{self.project_number}"
        for setting in ("receiver_settings", "worker_settings"):
            if not all(re.match(r"[A-Z][A-Z0-9_]*=", each) for each in getattr(self, setting).split()):
                raise WrongUse(f"{setting.upper()}: write NAME=VALUE, with a space between two and none in a value")
        if len(host) > _MAX_HOST_LABEL:
            raise WrongUse(f"WORKER_SERVICE: {host} is too long for a host name; at most {_MAX_HOST_LABEL} characters")

    def chosen(self) -> dict[str, str]:
        """Return the settings that are not the default, by environment variable."""
        return {
            name: getattr(self, declared.name)
            for name, declared in self.variables().items()
            if getattr(self, declared.name) != declared.default
        }

    def account(self, role: str) -> str:
        """Return the e-mail of the service account of `role`: build, receiver, worker or push."""
        return f"onestock-{role}@{self.project}.iam.gserviceaccount.com"

    @property
    def pubsub_agent(self) -> str:
        """The account that Pub/Sub itself acts as in this project."""
        return f"service-{self.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"

    @property
    def worker_url(self) -> str:
        """The worker's address, known before it is deployed, and the audience of the tokens that are sent to it.

        Source: "Deterministic URL" (Cloud Run).
        """
        return f"https://{self.worker_service}-{self.project_number}.{self.region}.run.app"

    @property
    def image(self) -> str:
        """The image's name, without tag or digest."""
        return f"{self.region}-docker.pkg.dev/{self.project}/{self.repository}/relay"

    @property
    def calls_onestock(self) -> bool:
        """Whether handlers can call OneStock's API."""
        return bool(self.onestock_api_url)
