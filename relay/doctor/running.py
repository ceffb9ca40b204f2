"""Checks at run time: do the services and the store answer, and do the clocks agree. No I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from relay.doctor import commands
from relay.doctor.facts import Facts, Missing, Service
from relay.doctor.findings import Absent, Finding, Unreadable, bad, good, judged, unknown
from relay.settings.doctor import DoctorSettings

MAX_SKEW_SECONDS = 10  # What the worker allows a push token (relay.worker.auth).
COLLECTION = "onestock_relay_runs"  # relay.stores.firestore's; importing it would need the Firestore client.
EXPIRES_AT = "expires_at"
# A private service answers a stranger so: the invoker check refuses, or the ingress lets nobody in from outside.
_PRIVATE = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers: the status of each service's /health, the store's documents and its TTL policy."""

    receiver: int | Unreadable
    worker: int | Unreadable
    documents: dict[str, Any] | Missing
    ttl: dict[str, Any] | Missing
    skews_seconds: Mapping[str, float]
    """How far each host's clock is ahead of this machine's."""


def check(facts: Facts, answers: Answers) -> Iterator[Finding]:
    """Yield the findings."""
    settings = facts.settings
    for role, service, answer in (
        ("receiver", facts.receiver, answers.receiver),
        ("worker", facts.worker, answers.worker),
    ):
        yield _health(f"{role} answers", service, answer, settings)
    worker, name = facts.worker, "the worker"
    yield judged("store", worker, lambda found: _store(found, answers.documents, settings), name=name)
    yield judged("store's expiry", worker, lambda found: _ttl(found, answers.ttl, settings), name=name)
    yield _clocks(answers.skews_seconds)


def database_of(worker: Service) -> str:
    """Return the Firestore database that the worker uses."""
    return worker.environ.get("FIRESTORE_DATABASE") or "(default)"


def _health(check: str, service: Service | Missing, answer: int | Unreadable, settings: DoctorSettings) -> Finding:
    if not isinstance(service, Service):
        return unknown(check, "its address could not be read")
    if isinstance(answer, Unreadable) and not answer.is_outage:
        return unknown(check, answer.reason)
    if answer == HTTPStatus.OK:
        return good(check, f"{service.url}/health is 200")
    text = answer.reason if isinstance(answer, Unreadable) else f"{service.url}/health is {answer}"
    is_ready = service.serving is not None and service.serving.is_ready
    if answer in _PRIVATE and is_ready and check.startswith("worker"):
        return good(check, f"Cloud Run reports it ready; {text} for a caller from outside")
    name = settings.receiver_service if check.startswith("receiver") else settings.worker_service
    logs = f'resource.labels.service_name="{name}" AND severity>=ERROR'
    look = f"gcloud logging read --project={settings.project} --freshness=1h --limit=20 '{logs}'"
    return bad(check, text, *(() if settings.emulator_host else (look,)))


def _store(worker: Service, documents: dict[str, Any] | Missing, settings: DoctorSettings) -> Finding:
    check = "store"
    if worker.environ.get("IDEMPOTENCY_STORE", "memory") != "firestore":
        if settings.emulator_host:
            return good(check, "memory: one worker process, which forgets its runs when it ends")
        service = commands.of_service(settings, settings.worker_service, worker)
        text = "memory: each instance forgets its runs when it ends, and knows nothing of the others"
        return bad(check, text, *service.update(variables={"IDEMPOTENCY_STORE": "firestore"}))
    database = database_of(worker)
    match documents:
        case Absent():
            create = f"gcloud firestore databases create --project={settings.project} --database='{database}'"
            command = f"{create} --location={settings.region} --type=firestore-native"
            return bad(check, f"there is no Firestore database {database}: the worker nacks every delivery", command)
        case Unreadable(is_outage=True):
            return bad(check, f"{documents.reason}: the worker nacks every delivery")
        case Unreadable():
            return unknown(check, documents.reason)
    return good(check, f"Firestore database {database} answers")


def _ttl(worker: Service, ttl: dict[str, Any] | Missing, settings: DoctorSettings) -> Finding:
    check = "store's expiry"
    if worker.environ.get("IDEMPOTENCY_STORE", "memory") != "firestore":
        return unknown(check, "the store is memory")
    if isinstance(ttl, Unreadable):
        return unknown(check, ttl.reason)
    if isinstance(ttl, Absent) or ttl.get("ttlConfig", {}).get("state") not in {"ACTIVE", "CREATING"}:
        where = f"--project={settings.project} --database='{database_of(worker)}' --collection-group={COLLECTION}"
        command = f"gcloud firestore fields ttls update {EXPIRES_AT} {where} --enable-ttl"
        return bad(check, "no TTL policy: Firestore keeps every run for ever, and you pay for it", command)
    return good(check, f"Firestore removes runs after {EXPIRES_AT}")


def _clocks(skews: Mapping[str, float]) -> Finding:
    check = "clocks"
    if not skews:
        return unknown(check, "no answer had a Date header")
    host, worst = max(skews.items(), key=lambda item: abs(item[1]))
    if abs(worst) < 1:
        return good(check, "agree with this machine's to the second")
    text = f"{host} is {abs(worst):.0f} s {'ahead of' if worst > 0 else 'behind'} this machine"
    if abs(worst) > MAX_SKEW_SECONDS:
        # Google keeps its own clocks right: where two disagree, this machine's is wrong.
        return bad(check, f"{text}: signatures and tokens depend on the time", "sudo timedatectl set-ntp true")
    return good(check, text)
