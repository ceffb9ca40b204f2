"""Checks of the grants: which account may publish, acknowledge and call. No I/O.

Source: "Handle message failures" (Pub/Sub's own service agent does the dead-lettering) and "Authentication for push
subscriptions".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from relay.doctor import commands
from relay.doctor.facts import EVERYBODY, INVOKERS, Facts, Missing, Policy, Service
from relay.doctor.findings import Absent, Finding, Unreadable, bad, good, unknown
from relay.topology import Topology

_PUBLISHERS = ("roles/pubsub.publisher", "roles/pubsub.editor", "roles/pubsub.admin", "roles/editor", "roles/owner")
_SUBSCRIBERS = ("roles/pubsub.subscriber", *_PUBLISHERS[1:])
_ANY_AGENT = re.compile(r"serviceAccount:service-\d+@gcp-sa-pubsub\.iam\.gserviceaccount\.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """A member that needs one of several roles on a resource; None where its service could not be read."""

    check: str
    member: str | None
    roles: tuple[str, ...]
    policy: Policy | Missing
    command: str


def check(facts: Facts, wanted: Topology) -> Iterator[Finding]:
    """Yield the findings."""
    for grant in (*_of_pubsub(facts, wanted), _of_pusher(facts)):
        yield _granted(grant, facts.project_policy)
    yield _receiver_is_public(facts)


def _of_pubsub(facts: Facts, wanted: Topology) -> Iterator[_Grant]:
    agent, receiver, worker = _agent(facts), _account(facts.receiver), _account(facts.worker)
    dead_letters, events = wanted.dead_letter_topic, wanted.topic
    for check, policy, name, member in (
        ("dead-letter publisher", facts.dead_letter_topic_policy, dead_letters, agent),
        ("receiver may publish", facts.topic_policy, events, receiver),
        ("worker may quarantine", facts.dead_letter_topic_policy, dead_letters, worker),
    ):
        command = commands.grant("pubsub topics", name, wanted.project, member=member or "", role=_PUBLISHERS[0])
        yield _Grant(check=check, member=member, roles=_PUBLISHERS, policy=policy, command=command)
    name, role = wanted.subscription, _SUBSCRIBERS[0]
    yield _Grant(
        check="dead-letter subscriber",
        member=agent,
        roles=_SUBSCRIBERS,
        policy=facts.subscription_policy,
        command=commands.grant("pubsub subscriptions", name, wanted.project, member=agent, role=role),
    )


def _of_pusher(facts: Facts) -> _Grant:
    settings, member = facts.settings, _pusher(facts)
    name, role = settings.worker_service, INVOKERS[0]
    command = commands.grant("run services", name, settings.project, member=member or "", role=role)
    return _Grant(
        check="push may call worker",
        member=member,
        roles=INVOKERS,
        policy=facts.worker_policy,
        command=f"{command} --region={settings.region}",
    )


def _receiver_is_public(facts: Facts) -> Finding:
    """Judge whether OneStock, which has no Google account, can call the receiver."""
    check, policy, receiver = "OneStock may call receiver", facts.receiver_policy, facts.receiver
    if isinstance(receiver, Service) and receiver.serving and receiver.serving.is_open:
        return good(check, "the receiver's invoker check is off: OneStock's signature is the authentication")
    if isinstance(receiver, Absent) or isinstance(policy, Absent):
        return unknown(check, "the receiver does not exist")
    if isinstance(policy, Unreadable):
        return unknown(check, policy.reason)
    if EVERYBODY in policy.members(*INVOKERS):
        return good(check, f"{EVERYBODY} has {INVOKERS[0]}: OneStock's signature is the authentication")
    if isinstance(receiver, Unreadable):
        return unknown(check, receiver.reason)
    service = commands.of_service(facts.settings, facts.settings.receiver_service, receiver)
    text = "the receiver refuses callers without a Google account: every webhook is a 403"
    # Organisations with domain-restricted sharing refuse a grant to allUsers; Google recommends this switch.
    return bad(check, text, service.switch_invoker_check(on=False))


def _granted(grant: _Grant, project: Policy | Missing) -> Finding:
    check, member, policy, role = grant.check, grant.member, grant.policy, grant.roles[0]
    if isinstance(policy, Absent):
        return unknown(check, "the resource that needs the grant does not exist")
    if isinstance(policy, Unreadable):
        return unknown(check, policy.reason)
    if member is None:
        return unknown(check, "the service that needs the grant could not be read")
    members = policy.members(*grant.roles) | (project.members(*grant.roles) if isinstance(project, Policy) else set())
    is_granted = any(map(_ANY_AGENT.fullmatch, members)) if "$(" in member else member in members
    if is_granted:
        return good(check, f"{_short(member)} has {role}")
    seen = "" if isinstance(project, Policy) else " here (the project's own grants could not be read)"
    return bad(check, f"{_short(member)} has no {role}{seen}", grant.command)


def _agent(facts: Facts) -> str:
    """Return Pub/Sub's service agent; where the project's number could not be read, the shell asks gcloud for it."""
    number = facts.project_number
    if not isinstance(number, str) or not number:
        number = f"$(gcloud projects describe {facts.settings.project} --format='value(projectNumber)')"
    return f"serviceAccount:service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com"


def _account(service: Service | Missing) -> str | None:
    account = service.serving.account if isinstance(service, Service) and service.serving else None
    return f"serviceAccount:{account}" if account else None


def _pusher(facts: Facts) -> str | None:
    if isinstance(facts.worker, Service) and facts.worker.environ.get("PUSH_SERVICE_ACCOUNT"):
        return f"serviceAccount:{facts.worker.environ['PUSH_SERVICE_ACCOUNT']}"
    return None


def _short(member: str) -> str:
    return "Pub/Sub's service agent" if "@gcp-sa-pubsub." in member else member.removeprefix("serviceAccount:")
