"""The whole examination: reads the facts and runs every check on them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from relay.doctor import alerts, grants, push, running, services, subscription, topics, traffic
from relay.doctor.cloud import Cloud, connected
from relay.doctor.facts import Facts, Missing, Service
from relay.doctor.findings import PUBSUB, Finding, Unreadable, bad
from relay.doctor.gathering import gather
from relay.doctor.local_run import is_local_run, of_local_run
from relay.doctor.running import Answers
from relay.settings.doctor import DoctorSettings
from relay.topology import EMULATOR_DEAD_LETTER_RETENTION_SECONDS, Topology, local_topology

_NO_URL = Unreadable("nobody knows its address; set RECEIVER_URL and WORKER_URL")


def examine(cloud: Cloud, settings: DoctorSettings, environ: Mapping[str, str]) -> list[Finding]:
    """Return the findings of every check. On an emulator the services' settings are those in `environ`."""
    facts = gather(cloud, settings, environ)
    is_local = is_local_run(settings, environ)
    wanted = wanted_by(settings, facts.worker, _limits(settings, is_local=is_local))
    findings = push.after_resume(_findings(cloud, facts, wanted), facts, wanted)
    told = _with_one_outage(findings, cloud.outages, settings)
    return list(of_local_run(told) if is_local else told)


def examined(environ: Mapping[str, str], cloud: Cloud | None = None) -> list[Finding]:
    """Return the findings about the installation that `environ` names, read from `cloud` or as this machine may.

    Raises ConfigurationError.
    """
    settings = DoctorSettings.from_environ(environ)
    return examine(cloud or connected(settings.emulator_host, settings.firestore_emulator_host), settings, environ)


def _with_one_outage(
    findings: Iterable[Finding], outages: Mapping[str, Unreadable], settings: DoctorSettings
) -> Iterator[Finding]:
    """Yield one finding in the place of all that only say that Pub/Sub, or Google, cannot be reached."""
    if "pubsub" in outages:
        text = f"{outages['pubsub'].reason}; nothing can be said about topics and subscriptions"
        advice = "" if settings.emulator_host else "; are your credentials valid? gcloud auth application-default login"
        yield bad(PUBSUB, text + advice)
    reasons = [outage.reason for outage in outages.values()] if "pubsub" in outages else []
    yield from (finding for finding in findings if not any(reason in finding.text for reason in reasons))


def _findings(cloud: Cloud, facts: Facts, wanted: Topology) -> list[Finding]:
    identity = push.identity_of(facts)
    return [
        *topics.check(facts, wanted, identity=identity),
        *subscription.check(facts, wanted, identity=identity),
        *push.check(facts, wanted),
        *grants.check(facts, wanted),
        *traffic.check(facts),
        *services.check(facts, wanted),
        *running.check(facts, _answers(cloud, facts)),
        *alerts.check(facts),
    ]


def _limits(settings: DoctorSettings, *, is_local: bool) -> Topology:
    if is_local:
        return local_topology(push_endpoint="")
    limits = Topology(project=settings.project, push_endpoint="")
    if settings.emulator_host is not None:
        return replace(limits, dead_letter_retention_seconds=EMULATOR_DEAD_LETTER_RETENTION_SECONDS)
    return limits


def wanted_by(settings: DoctorSettings, worker: Service | Missing, limits: Topology) -> Topology:
    """Return the topics and subscriptions as they must be, with these limits; the endpoint is empty if unknown."""
    url = settings.worker_url or (_pushed_address(worker) if isinstance(worker, Service) else None)
    return replace(
        limits,
        project=settings.project,
        topic=settings.topic,
        subscription=settings.subscription,
        dead_letter_topic=settings.dead_letter_topic,
        dead_letter_subscription=settings.dead_letter_subscription,
        push_endpoint=f"{url}{push.PUSH_PATH}" if url else "",
    )


def _pushed_address(worker: Service) -> str | None:
    """Return the one of the worker's addresses that its tokens are for, which is where deploy has Pub/Sub push."""
    audience = worker.environ.get("PUSH_AUDIENCE")
    return audience if audience in worker.urls else worker.url


def _answers(cloud: Cloud, facts: Facts) -> Answers:
    worker = facts.worker
    documents: dict[str, object] | Missing = Unreadable("the worker uses none")
    ttl: dict[str, object] | Missing = documents
    if isinstance(worker, Service) and worker.environ.get("IDEMPOTENCY_STORE") == "firestore":
        base = f"projects/{facts.settings.project}/databases/{running.database_of(worker)}"
        documents = cloud.get("firestore", f"{base}/documents/{running.COLLECTION}?pageSize=1")
        # The emulator knows no TTL policies, and says so in several ways.
        field = f"{base}/collectionGroups/{running.COLLECTION}/fields/{running.EXPIRES_AT}"
        is_local = facts.settings.emulator_host is not None
        ttl = Unreadable("an emulator has no TTL policies") if is_local else cloud.get("firestore", field)
    return Answers(
        receiver=_health(cloud, facts.receiver),
        worker=_health(cloud, facts.worker),
        documents=documents,
        ttl=ttl,
        skews_seconds=cloud.skews_seconds,
    )


def _health(cloud: Cloud, service: Service | Missing) -> int | Unreadable:
    if not isinstance(service, Service) or service.url is None:
        return _NO_URL
    return cloud.status_of(f"{service.url}/health")
