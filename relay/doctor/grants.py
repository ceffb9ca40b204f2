"""Checks of who may do what. No I/O.

Source: "Handle message failures" (Pub/Sub: dead-lettering is done by Pub/Sub's own service agent) and "Authentication
for push subscriptions".
"""

import re
from collections.abc import Iterator

from relay.doctor import commands
from relay.doctor.facts import Facts, Missing, Policy, Service
from relay.doctor.findings import Absent, Finding, Unreadable, bad, good, unknown
from relay.topology import Topology

_PUBLISHERS = ("roles/pubsub.publisher", "roles/pubsub.editor", "roles/pubsub.admin", "roles/editor", "roles/owner")
_SUBSCRIBERS = ("roles/pubsub.subscriber", *_PUBLISHERS[1:])
_INVOKERS = ("roles/run.invoker", "roles/run.admin", "roles/editor", "roles/owner")
_ANY_AGENT = re.compile(r"serviceAccount:service-\d+@gcp-sa-pubsub\.iam\.gserviceaccount\.com")
_EVERYBODY = "allUsers"


def check(facts: Facts, wanted: Topology) -> Iterator[Finding]:
    """Yield the findings."""
    agent = _agent(facts)
    project = wanted.project
    topics, subscriptions, services = "pubsub topics", "pubsub subscriptions", "run services"
    dead_letters, settings = wanted.dead_letter_topic, facts.settings
    for name, policy, member, roles, group, resource in (
        ("dead-letter publisher", facts.dead_letter_topic_policy, agent, _PUBLISHERS, topics, dead_letters),
        ("dead-letter subscriber", facts.subscription_policy, agent, _SUBSCRIBERS, subscriptions, wanted.subscription),
        ("receiver may publish", facts.topic_policy, _account(facts.receiver), _PUBLISHERS, topics, wanted.topic),
        (
            "worker may quarantine",
            facts.dead_letter_topic_policy,
            _account(facts.worker),
            _PUBLISHERS,
            topics,
            dead_letters,
        ),
        ("push may call worker", facts.worker_policy, _pusher(facts), _INVOKERS, services, settings.worker_service),
        (
            "OneStock may call receiver",
            facts.receiver_policy,
            _EVERYBODY,
            _INVOKERS,
            services,
            settings.receiver_service,
        ),
    ):
        mend = commands.grant(group, resource, project, member=member or "", role=roles[0])
        if group == services:
            mend = f"{mend} --region={settings.region}"
        yield _granted(name, policy, facts.project_policy, member=member, roles=roles, mend=mend)


def _granted(
    check: str,
    policy: Policy | Missing,
    project: Policy | Missing,
    *,
    member: str | None,
    roles: tuple[str, ...],
    mend: str,
) -> Finding:
    if isinstance(policy, Absent):
        return unknown(check, "what it would be granted on does not exist")
    if isinstance(policy, Unreadable):
        return unknown(check, policy.reason)
    if member is None:
        return unknown(check, "the service that needs the grant could not be read")
    members = policy.members(*roles) | (project.members(*roles) if isinstance(project, Policy) else set())
    is_granted = any(map(_ANY_AGENT.fullmatch, members)) if "$(" in member else member in members
    if is_granted:
        return good(check, f"{_short(member)} has {roles[0]}")
    seen = "" if isinstance(project, Policy) else " here (the project's own grants could not be read)"
    return bad(check, f"{_short(member)} has no {roles[0]}{seen}", mend)


def _agent(facts: Facts) -> str:
    """Return Pub/Sub's own account; its number is left to the shell where nobody told us."""
    number = facts.project_number
    if not isinstance(number, str) or not number:
        number = f"$(gcloud projects describe {facts.settings.project} --format='value(projectNumber)')"
    return f"serviceAccount:service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com"


def _account(service: Service | Missing) -> str | None:
    return f"serviceAccount:{service.account}" if isinstance(service, Service) and service.account else None


def _pusher(facts: Facts) -> str | None:
    if isinstance(facts.worker, Service) and facts.worker.environ.get("PUSH_SERVICE_ACCOUNT"):
        return f"serviceAccount:{facts.worker.environ['PUSH_SERVICE_ACCOUNT']}"
    return None


def _short(member: str) -> str:
    return "Pub/Sub's service agent" if "@gcp-sa-pubsub." in member else member.removeprefix("serviceAccount:")
