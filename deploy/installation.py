"""The names and sizes of one installation: every setting of the deployment, with what it is for and its default.

What was chosen stands in a file of each project, which is committed: it is reviewed as code is, each build gets it with
the sources, and a setting that nobody gives in a run keeps its value. An environment variable of the same name, in
Cloud Build a substitution with a leading underscore, goes before the file.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from deploy.errors import WrongUse
from deploy.topology import DECLARED

# Source: "Method: projects.create" (Resource Manager) and "Services" (Cloud Run): these are stricter than Pub/Sub's.
_PROJECT = re.compile(r"(?:[a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_MAX_HOST_LABEL = 63
_FILES = Path(__file__).parent / "installations"
_HEADER = "# What was chosen for this project; python -m deploy settings explains each. Commit this file.\n"
# A value may hold spaces, as FORWARD_URLS does: the next setting begins with a name in capitals.
_NEXT_SETTING = re.compile(r"\s+(?=[A-Z][A-Z0-9_]*=)")
_RECEIVER_SPARE_THREADS, _WORKER_SPARE_THREADS = 16, 4
_NAMES = DECLARED["names"]


def _setting(default: str, what: str) -> str:
    """Declare a setting."""
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
    receiver_ingress: str = _setting("all", "who reaches the receiver: all, or internal-and-cloud-load-balancing")
    receiver_access: str = _setting(
        "no-iam-check",
        "how the receiver is public: no-iam-check, or all-users (a grant, which many organisations refuse)",
    )
    pubsub_endpoint: str = _setting("", "Pub/Sub's regional endpoint: europe-west1-pubsub.googleapis.com:443")
    pubsub_regions: str = _setting("", "regions, comma separated, that events may be stored in; empty: Google's choice")
    worker_min: str = _setting("0", "workers that always run; a cold start only delays an event")
    worker_max: str = _setting("10", "workers at most; what your shop's API can bear")
    worker_concurrency: str = _setting("16", "deliveries that one worker takes at once")
    worker_cpu: str = _setting("1", "vCPUs of a worker")
    worker_memory: str = _setting("512Mi", "memory of a worker")
    handler_budget_seconds: str = _setting("60", "how long one handler may take for one event")
    push_auth: str = _setting("iam", "who checks the pushes: iam (Cloud Run) or oidc (the worker)")
    log_content: str = _setting("redacted", "how much of a webhook is logged: redacted, full or off")
    onestock_signature: str = _setting("required", "required, or record for the first days: docs/signature.md")
    onestock_record_until: str = _setting("", "when record ends, such as 2026-12-01T00:00:00Z")
    onestock_signed_string: str = _setting("timestamp.body", "what OneStock signs: timestamp.body or timestamp")
    onestock_api_url: str = _setting("", "OneStock's API, for handlers that call it; empty: none")
    onestock_site_id: str = _setting("", "the site, for OneStock's API")
    onestock_user_id: str = _setting("", "the API user; its password is in the secret")
    destinations_secret: str = _setting("", "the secret that holds DESTINATION_SECRETS; empty: none")
    receiver_settings: str = _setting("", "further settings of the receiver, as in .env.example: NAME=VALUE NAME=VALUE")
    worker_settings: str = _setting(
        "", "further settings of the worker, alike: FORWARD_URLS=a=https://... b=https://..."
    )
    alert_email: str = _setting("", "who is told when an alert fires; empty: the channels stay as they are")
    alert_channels: str = _setting(
        "", "further channels, space separated: projects/PROJECT/notificationChannels/NUMBER"
    )
    watchdog_schedule: str = _setting("", "when the worker looks at OneStock's webhooks, as in cron; empty: never")
    bigquery_dataset: str = _setting("", "archive every event into this BigQuery dataset; empty: no archive")
    armor_policy: str = _setting("", "make a Cloud Armor policy of this name; empty: none")

    @classmethod
    def variables(cls) -> dict[str, dataclasses.Field[str]]:
        """Return each setting that has a default, by its environment variable."""
        declared = dataclasses.fields(cls)
        return {each.name.upper(): each for each in declared if "what" in each.metadata}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], kept: Mapping[str, str] | None = None) -> Self:
        """Return the installation that `environ` describes, and `kept` where it does not; an empty value is missing.

        The project's number is "" where nobody says it. Raises WrongUse.
        """
        project = project_of(environ)
        kept = kept or {}
        unknown = sorted(kept.keys() - cls.variables().keys())
        if unknown:
            raise WrongUse(f"{kept_file(project)}: there is no setting {', '.join(unknown)}")
        found = {name: environ.get(name) or environ.get(f"_{name}") or kept.get(name) for name in cls.variables()}
        chosen = {name.lower(): value for name, value in found.items() if value}
        installation = cls(project=project, project_number=environ.get("PROJECT_NUMBER", ""), **chosen)
        installation._check()
        return installation

    def _check(self) -> None:
        for name in ("receiver_concurrency", "worker_concurrency"):
            if not re.fullmatch(r"[1-9][0-9]*", getattr(self, name)):
                raise WrongUse(f"{name.upper()}: {getattr(self, name)}; set it to a number from 1")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise WrongUse(f"{name.upper()}: {getattr(self, name)}; set it to {' or '.join(choices)}")
        for name in ("receiver_settings", "worker_settings"):
            if not all(re.match(r"[A-Z][A-Z0-9_]*=", each) for each in _split(getattr(self, name))):
                raise WrongUse(f"{name.upper()}: write NAME=VALUE, with a space between two")
        host = f"{self.worker_service}-{self.project_number}"
        if len(host) > _MAX_HOST_LABEL:
            raise WrongUse(f"WORKER_SERVICE: {host} is too long for a host name; at most {_MAX_HOST_LABEL} characters")

    def chosen(self) -> dict[str, str]:
        """Return the settings that are not the default, by environment variable."""
        return {
            name: getattr(self, declared.name)
            for name, declared in self.variables().items()
            if getattr(self, declared.name) != declared.default
        }

    def receiver_variables(self) -> dict[str, str]:
        """Return the receiver's environment variables but for its secrets."""
        optional = {
            "PUBSUB_ENDPOINT": self.pubsub_endpoint,
            "ONESTOCK_RECORD_UNTIL": self.onestock_record_until,
        }
        return {
            "GOOGLE_CLOUD_PROJECT": self.project,
            "PUBSUB_TOPIC": self.pubsub_topic,
            "LOG_CONTENT": self.log_content,
            "ONESTOCK_SIGNATURE": self.onestock_signature,
            "ONESTOCK_SIGNED_STRING": self.onestock_signed_string,
            # One for each webhook that Cloud Run sends at once, and threads for the probes.
            "MAX_WAITING_PUBLISHES": self.receiver_concurrency,
            "RECEIVER_THREADS": str(int(self.receiver_concurrency) + _RECEIVER_SPARE_THREADS),
            **{name: value for name, value in optional.items() if value},
            **_pairs(self.receiver_settings),
        }

    def worker_variables(self) -> dict[str, str]:
        """Return the worker's environment variables but for its secrets and its time limits."""
        onestock = {
            "ONESTOCK_API_URL": self.onestock_api_url,
            "ONESTOCK_SITE_ID": self.onestock_site_id,
            "ONESTOCK_USER_ID": self.onestock_user_id,
        }
        return {
            "GOOGLE_CLOUD_PROJECT": self.project,
            "PUBSUB_DEAD_LETTER_TOPIC": self.pubsub_dead_letter_topic,
            "LOG_CONTENT": self.log_content,
            "PUSH_AUTH": self.push_auth,
            "PUSH_AUDIENCE": self.worker_url,
            "PUSH_SERVICE_ACCOUNT": self.account("push"),
            "IDEMPOTENCY_STORE": "firestore",
            "FIRESTORE_DATABASE": self.firestore_database,
            "HANDLER_BUDGET_SECONDS": self.handler_budget_seconds,
            # Above the concurrency: else the liveness probe waits behind slow handlers and kills them.
            "WORKER_THREADS": str(int(self.worker_concurrency) + _WORKER_SPARE_THREADS),
            **({"PUBSUB_ENDPOINT": self.pubsub_endpoint} if self.pubsub_endpoint else {}),
            **(onestock if self.calls_onestock else {}),
            **_pairs(self.worker_settings),
        }

    def account(self, role: str) -> str:
        """Return the e-mail of the service account of `role`: build, receiver, worker or push."""
        return f"onestock-{role}@{self.project}.iam.gserviceaccount.com"

    def member(self, role: str) -> str:
        """Return the account of `role` as a policy names it; that of `pubsub` is the one that Pub/Sub acts as."""
        agent = f"service-{self.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
        return f"serviceAccount:{agent if role == 'pubsub' else self.account(role)}"

    @property
    def worker_url(self) -> str:
        """The worker's address, known before it is deployed, and the audience of the tokens that are sent to it.

        Source: "Deterministic URL" (Cloud Run).
        """
        return f"https://{self.worker_service}-{self.project_number}.{self.region}.run.app"

    @property
    def bucket(self) -> str:
        """The bucket of the sources that a build reads."""
        return f"{re.sub('[:.]', '-', self.project)}-onestock-build"

    @property
    def image(self) -> str:
        """The image's name, without tag or digest."""
        return f"{self.region}-docker.pkg.dev/{self.project}/{self.repository}/relay"

    @property
    def is_behind_a_load_balancer(self) -> bool:
        """Whether Cloud Run answers 404 to whoever calls the receiver, or a tag of it, at its own address."""
        return self.receiver_ingress != "all"

    @property
    def calls_onestock(self) -> bool:
        """Whether handlers can call OneStock's API."""
        return bool(self.onestock_api_url)


_CHOICES = {
    "receiver_access": ("no-iam-check", "all-users"),
    "receiver_ingress": ("all", "internal-and-cloud-load-balancing"),
    "push_auth": ("iam", "oidc"),
}


def project_of(environ: Mapping[str, str]) -> str:
    """Return the project's id. Raises WrongUse."""
    project = environ.get("GOOGLE_CLOUD_PROJECT") or environ.get("PROJECT_ID") or ""
    if not _PROJECT.fullmatch(project):
        raise WrongUse(f"GOOGLE_CLOUD_PROJECT: {project or 'missing'}; set it to your project's id")
    return project


def kept_file(project: str) -> Path:
    """Return the file that keeps what was chosen for `project`."""
    return _FILES / f"{project}.env"


def read_kept(file: Path) -> dict[str, str]:
    """Return what a file keeps: NAME=VALUE, a line each. Raises WrongUse for another line."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    wrong = [line for line in lines if not re.match(r"[A-Z][A-Z0-9_]*=", line)]
    if wrong:
        raise WrongUse(f"{file}: {wrong[0]}: write NAME=VALUE")
    return dict(line.split("=", 1) for line in lines)


def keep(installation: Installation, file: Path) -> bool:
    """Write down what is chosen, and return whether that changed the file; a person's comments stay."""
    before = file.read_text() if file.exists() else ""
    kept = read_kept(file) if before else {}
    chosen = {name: getattr(installation, name.lower()) for name in kept} | installation.chosen()
    if before and kept == chosen:
        return False
    others = [line for line in (before or _HEADER).splitlines() if line.partition("=")[0] not in chosen]
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([*others, *(f"{name}={value}" for name, value in chosen.items())]) + "\n")
    return True


def _split(settings: str) -> list[str]:
    return _NEXT_SETTING.split(settings.strip()) if settings.strip() else []


def _pairs(settings: str) -> dict[str, str]:
    return dict(each.split("=", 1) for each in _split(settings))
