"""Checks of the pushes: do they reach the worker, does it let them in, and has somebody paused them. No I/O."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from relay import moments
from relay.doctor import commands
from relay.doctor.facts import EVERYBODY, INVOKERS, Facts, Paused, Policy, PushConfig, Service, Subscription
from relay.doctor.findings import Absent, Finding, Unreadable, bad, good, judged, unknown
from relay.settings.worker import PushAuth
from relay.topology import Topology

PUSH_PATH = "/pubsub/push"

_WITH_TOKENS = (PushAuth.OIDC, PushAuth.IAM)

Judge = Callable[[PushConfig], Finding]


def check(facts: Facts, wanted: Topology) -> Iterator[Finding]:
    """Yield the findings. `wanted` has the worker's endpoint, empty if nobody knows it."""
    yield _paused(facts, wanted)
    pushed = _push_config(facts)
    judges: dict[str, Judge] = {
        "push endpoint": lambda found: _endpoint(found, facts, wanted),
        "push identity": lambda found: _identity(found, facts, wanted),
        "push audience": lambda found: _audience(found, facts, wanted),
    }
    for name, judge in judges.items():
        yield judged(name, pushed, judge, name="the subscription")
    yield judged("invoker check", facts.worker, lambda worker: _invoker_check(worker, facts), name="the worker")


def identity_of(facts: Facts) -> tuple[str, ...]:
    """Return gcloud's flags for the token that the worker expects."""
    environ = _worker_environ(facts)
    return commands.push_identity(environ.get("PUSH_SERVICE_ACCOUNT"), environ.get("PUSH_AUDIENCE"))


def after_resume(findings: Iterable[Finding], facts: Facts, wanted: Topology) -> Iterator[Finding]:
    """Yield the findings; in a pause, a command that makes the subscription push comes after the one that resumes."""
    for finding in findings:
        if _is_paused(facts) and any(_pushes_again(command, wanted) for command in finding.commands):
            text = f"{finding.text}; its command ends the pause, so resume first"
            yield replace(finding, text=text, commands=(commands.resume(wanted), *finding.commands))
        else:
            yield finding


def _is_paused(facts: Facts) -> bool:
    is_pull = isinstance(facts.subscription, Subscription) and not facts.subscription.push_config.push_endpoint
    return is_pull and isinstance(facts.paused, Paused)


def _pushes_again(command: str, wanted: Topology) -> bool:
    words = shlex.split(command)
    return wanted.subscription in words and any(word.startswith("--push-endpoint=") for word in words)


def _worker_environ(facts: Facts) -> dict[str, str]:
    return dict(facts.worker.environ) if isinstance(facts.worker, Service) else {}


def _push_config(facts: Facts) -> PushConfig | Absent | Unreadable:
    """Return where the subscription pushes, or in a pause where it will push again."""
    if not isinstance(facts.subscription, Subscription):
        return facts.subscription
    found = facts.subscription.push_config
    return facts.paused.push_config if isinstance(facts.paused, Paused) and _is_paused(facts) else found


def _paused(facts: Facts, wanted: Topology) -> Finding:
    check, pause = "pause", facts.paused
    if isinstance(pause, Absent):
        return good(check, "nobody has paused the pushes")
    if isinstance(pause, Unreadable):
        return unknown(check, pause.reason)
    if not isinstance(facts.subscription, Subscription):
        return unknown(check, "the subscription could not be read")
    since = f"{moments.shown(pause.since)} ({pause.reason})"
    if facts.subscription.push_config.push_endpoint:
        text = f"the pushes go on, although they were paused since {since}; resume ends the pause and changes nothing"
        return bad(check, text, commands.resume(wanted))
    lost_at = pause.since.timestamp() + facts.subscription.message_retention_duration
    until = moments.shown(datetime.fromtimestamp(lost_at, UTC))
    text = f"the pushes are paused since {since}: events wait, and from {until} on the oldest are lost"
    return bad(check, text, commands.resume(wanted))


def _update(found: PushConfig, wanted: Topology, *identity: str) -> str:
    """Return the command that changes where and how the subscription pushes; gcloud sets all of it at once."""
    endpoint = wanted.push_endpoint or found.push_endpoint
    return commands.update_subscription(wanted, wanted.subscription, f"--push-endpoint={endpoint}", *identity)


def _endpoint(found: PushConfig, facts: Facts, wanted: Topology) -> Finding:
    check, endpoint = "push endpoint", found.push_endpoint
    urls = facts.worker.urls if isinstance(facts.worker, Service) else ()
    if endpoint and endpoint in {wanted.push_endpoint, *(f"{url}{PUSH_PATH}" for url in urls)}:
        return good(check, f"pushes to {endpoint}")
    if not wanted.push_endpoint and endpoint.endswith(PUSH_PATH):
        return unknown(check, f"pushes to {endpoint}; set WORKER_URL to compare it with the worker")
    text = f"pushes to {endpoint}, not to the worker" if endpoint else "does not push: nobody handles the events"
    if not wanted.push_endpoint:
        return bad(check, f"{text}; set WORKER_URL to see the command that mends it")
    return bad(check, text, _update(found, wanted, *identity_of(facts)))


def _identity(found: PushConfig, facts: Facts, wanted: Topology) -> Finding:
    check, environ = "push identity", _worker_environ(facts)
    if not environ:
        return unknown(check, "the worker's settings could not be read")
    if environ.get("PUSH_AUTH") not in _WITH_TOKENS:
        return unknown(check, f"PUSH_AUTH is {environ.get('PUSH_AUTH')}: the worker asks for no token")
    account = environ.get("PUSH_SERVICE_ACCOUNT")
    if not account:
        return unknown(check, "the worker names no PUSH_SERVICE_ACCOUNT to compare the subscription with")
    actual = found.oidc_token.service_account_email if found.oidc_token else ""
    if actual != account:
        who = f"as {actual}" if actual else "without a token"
        text = f"pushes {who}, but the worker lets in {account} only: it refuses every delivery"
        return bad(check, text, _update(found, wanted, *identity_of(facts)))
    return good(check, f"pushes as {account}")


def _audience(found: PushConfig, facts: Facts, wanted: Topology) -> Finding:
    check, environ = "push audience", _worker_environ(facts)
    expected = environ.get("PUSH_AUDIENCE")
    if environ.get("PUSH_AUTH") not in _WITH_TOKENS or not expected or not isinstance(facts.worker, Service):
        return unknown(check, "the worker names no PUSH_AUDIENCE to compare the subscription with")
    if not _is_taken_by_cloud_run(expected, facts.worker):
        return _foreign_audience(expected, found, facts.worker, facts, wanted)
    # Without an audience Pub/Sub takes the endpoint ("Authentication for push subscriptions").
    actual = (found.oidc_token.audience or found.push_endpoint) if found.oidc_token else "none"
    if actual != expected:
        text = f"tokens are for {actual}, but the worker expects {expected}: it refuses every delivery"
        return bad(check, text, _update(found, wanted, *identity_of(facts)))
    return good(check, f"tokens are for {expected}")


def _is_taken_by_cloud_run(audience: str, worker: Service) -> bool:
    """Return whether the invoker check takes tokens for this audience ("Custom audiences", Cloud Run)."""
    if worker.serving is None or worker.serving.is_open or audience in worker.serving.audiences:
        return True
    return any(audience == url or audience.startswith(f"{url}/") for url in worker.serving.urls)


def _foreign_audience(expected: str, found: PushConfig, worker: Service, facts: Facts, wanted: Topology) -> Finding:
    url = (worker.serving.urls if worker.serving else ())[0]
    text = f"PUSH_AUDIENCE is {expected}, which is no address of the worker: Cloud Run refuses every delivery"
    service = commands.of_service(facts.settings, facts.settings.worker_service, worker)
    identity = commands.push_identity(worker.environ.get("PUSH_SERVICE_ACCOUNT"), url)
    return bad(
        "push audience", text, *service.update(variables={"PUSH_AUDIENCE": url}), _update(found, wanted, *identity)
    )


def _invoker_check(worker: Service, facts: Facts) -> Finding:
    check, push_auth = "invoker check", worker.environ.get("PUSH_AUTH")
    if worker.serving is None:
        return unknown(check, "there is no Cloud Run on this machine")
    if push_auth not in _WITH_TOKENS:
        return unknown(check, f"PUSH_AUTH is {push_auth}")
    if not isinstance(facts.worker_policy, Policy) and not worker.serving.is_open:
        return unknown(check, "the worker's grants could not be read")
    is_granted_to_all = isinstance(facts.worker_policy, Policy) and EVERYBODY in facts.worker_policy.members(*INVOKERS)
    is_on = not (worker.serving.is_open or is_granted_to_all)
    service = commands.of_service(facts.settings, facts.settings.worker_service, worker)
    if push_auth == PushAuth.IAM and not is_on:
        text = "PUSH_AUTH is iam, but Cloud Run lets in everybody: anybody can make up a push"
        close = [service.switch_invoker_check(on=True)] if worker.serving.is_open else []
        return bad(check, text, *close, *([service.refuse_strangers()] if is_granted_to_all else []))
    if push_auth == PushAuth.OIDC and is_on:
        text = "PUSH_AUTH is oidc, but Cloud Run may replace the signature: the worker then refuses every push"
        return bad(check, text, *service.update(variables={"PUSH_AUTH": PushAuth.IAM}))
    return good(check, "Cloud Run verifies the caller" if is_on else "the worker verifies the caller")
