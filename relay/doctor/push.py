"""Checks of the push subscription. No I/O."""

from collections.abc import Callable, Iterator

from relay.doctor import commands
from relay.doctor.facts import Facts, Service, Subscription
from relay.doctor.findings import Finding, about, bad, good, unknown
from relay.doctor.topics import exists
from relay.settings.worker import PushAuth
from relay.topology import TOPIC_RETENTION_SECONDS, Topology

PUSH_PATH = "/pubsub/push"
MIN_HOURS_OF_ATTEMPTS = 6  # A worker that is broken overnight must not empty the subscription into the dead letters.

_WITH_TOKENS = (PushAuth.OIDC, PushAuth.IAM)

Decide = Callable[[Subscription], Finding]


def check(facts: Facts, wanted: Topology) -> Iterator[Finding]:
    """Yield the findings. `wanted` has the worker's endpoint, empty if nobody knows it."""
    worker = facts.worker if isinstance(facts.worker, Service) else None
    identity = identity_of(facts)
    pushed = facts.subscription
    yield exists("subscription", wanted.subscription, pushed, commands.create_push_subscription(wanted, identity))
    decisions: dict[str, Decide] = {
        "subscription's topic": lambda found: _topic(found, wanted, identity),
        "push endpoint": lambda found: _endpoint(found, wanted, identity),
        "push identity": lambda found: _pusher(found, wanted, worker),
        "push audience": lambda found: _audience(found, wanted, worker),
        "ack deadline": lambda found: _ack_deadline(found, wanted),
        "back-off": lambda found: _back_off(found, wanted),
        "expiry": lambda found: _expiry(found, wanted),
        "ordering": lambda found: _ordering(found, wanted, identity),
        "filter": lambda found: _filter(found, wanted, identity),
        "retention": lambda found: _retention(found, wanted),
        "dead-letter policy": lambda found: _dead_letter_policy(found, wanted),
        "delivery attempts": lambda found: _attempts(found, wanted),
    }
    for name, decide in decisions.items():
        yield about(name, pushed, decide, missing="the subscription")


def identity_of(facts: Facts) -> tuple[str, ...]:
    """Return gcloud's flags for the token that the worker expects."""
    worker = facts.worker
    if not isinstance(worker, Service):
        return ()
    return commands.push_identity(worker.environ.get("PUSH_SERVICE_ACCOUNT"), worker.environ.get("PUSH_AUDIENCE"))


def _made_anew(wanted: Topology, identity: tuple[str, ...]) -> tuple[str, ...]:
    """Return how to replace the subscription: what it had not delivered comes back, nothing is handled twice."""
    return (
        commands.delete_subscription(wanted, wanted.subscription),
        commands.create_push_subscription(wanted, identity),
        commands.seek_back(wanted, wanted.subscription, "7 days"),
    )


def _update(wanted: Topology, *flags: str) -> str:
    return commands.update_subscription(wanted, wanted.subscription, *flags)


def _topic(found: Subscription, wanted: Topology, identity: tuple[str, ...]) -> Finding:
    if found.topic != wanted.topic_path or found.detached:
        text = f"reads {found.topic.rpartition('/')[2]}, not {wanted.topic}: the worker gets nothing"
        return bad("subscription's topic", text, *_made_anew(wanted, identity))
    return good("subscription's topic", f"reads {wanted.topic}")


def _endpoint(found: Subscription, wanted: Topology, identity: tuple[str, ...]) -> Finding:
    check, endpoint = "push endpoint", found.push_config.push_endpoint
    if not wanted.push_endpoint and endpoint.endswith(PUSH_PATH):
        return unknown(check, f"pushes to {endpoint}; set WORKER_URL to compare it with the worker")
    if endpoint == wanted.push_endpoint:
        return good(check, f"pushes to {endpoint}")
    text = f"pushes to {endpoint}, not to the worker" if endpoint else "does not push: nobody handles the events"
    if not wanted.push_endpoint:
        return bad(check, f"{text}; set WORKER_URL to see the command that mends it")
    return bad(check, text, _update(wanted, f"--push-endpoint={wanted.push_endpoint}", *identity))


def _pusher(found: Subscription, wanted: Topology, worker: Service | None) -> Finding:
    check = "push identity"
    if worker is None:
        return unknown(check, "the worker's settings could not be read")
    if worker.environ.get("PUSH_AUTH") not in _WITH_TOKENS:
        return unknown(check, f"PUSH_AUTH is {worker.environ.get('PUSH_AUTH')}: nobody asks for a token")
    account = worker.environ.get("PUSH_SERVICE_ACCOUNT")
    actual = found.push_config.oidc_token.service_account_email if found.push_config.oidc_token else ""
    if not account and not actual:
        return bad(check, "pushes without a token: every delivery is refused; name an account that may call the worker")
    if not account:
        return unknown(check, f"pushes as {actual}; the worker names no PUSH_SERVICE_ACCOUNT to compare it with")
    if actual != account:
        who = f"as {actual}" if actual else "without a token"
        identity = commands.push_identity(account, worker.environ.get("PUSH_AUDIENCE"))
        endpoint = wanted.push_endpoint or found.push_config.push_endpoint
        text = f"pushes {who}, the worker lets in {account} only: every delivery is refused"
        return bad(check, text, _update(wanted, f"--push-endpoint={endpoint}", *identity))
    return good(check, f"pushes as {account}")


def _audience(found: Subscription, wanted: Topology, worker: Service | None) -> Finding:
    check = "push audience"
    if worker is None or worker.environ.get("PUSH_AUTH") not in _WITH_TOKENS:
        return unknown(check, "nobody says which audience the worker expects")
    # For `iam` it is Cloud Run that checks, and it wants the service's own address.
    audience = worker.environ.get("PUSH_AUDIENCE") or worker.url
    if audience is None:
        return unknown(check, "the worker names no PUSH_AUDIENCE to compare it with")
    token = found.push_config.oidc_token
    # Without an audience Pub/Sub takes the endpoint ("Authentication for push subscriptions").
    actual = (token.audience or found.push_config.push_endpoint) if token else "none"
    if actual != audience:
        account = worker.environ.get("PUSH_SERVICE_ACCOUNT")
        endpoint = wanted.push_endpoint or found.push_config.push_endpoint
        mend = _update(wanted, f"--push-endpoint={endpoint}", *commands.push_identity(account, audience))
        return bad(check, f"tokens are for {actual}, the worker expects {audience}: every delivery is refused", mend)
    return good(check, f"tokens are for {audience}")


def _ack_deadline(found: Subscription, wanted: Topology) -> Finding:
    check, actual = "ack deadline", found.ack_deadline_seconds
    if actual != wanted.ack_deadline_seconds:
        text = f"is {actual} s, not {wanted.ack_deadline_seconds}: what runs longer is delivered again meanwhile"
        return bad(check, text, _update(wanted, f"--ack-deadline={wanted.ack_deadline_seconds}"))
    return good(check, f"is {actual} s")


def _back_off(found: Subscription, wanted: Topology) -> Finding:
    check, policy = "back-off", found.retry_policy
    mend = _update(wanted, *commands.back_off(wanted))
    if policy is None:
        return bad(check, "there is none: what fails is delivered again at once, until it is a dead letter", mend)
    text = f"is {policy.minimum_backoff:g} to {policy.maximum_backoff:g} s"
    if (policy.minimum_backoff, policy.maximum_backoff) != (wanted.min_backoff_seconds, wanted.max_backoff_seconds):
        return bad(check, f"{text}, not {wanted.min_backoff_seconds} to {wanted.max_backoff_seconds}", mend)
    return good(check, text)


def _expiry(found: Subscription, wanted: Topology) -> Finding:
    ttl = found.expiration_policy.ttl
    if ttl is not None:
        text = f"is removed after {commands.days(ttl)} without a delivery: later events are lost"
        return bad("expiry", text, _update(wanted, commands.NEVER))
    return good("expiry", "never expires")


def _ordering(found: Subscription, wanted: Topology, identity: tuple[str, ...]) -> Finding:
    if not found.enable_message_ordering:
        # Source: "Message ordering": it can be set at the creation only.
        return bad("ordering", "is off: events of one order overtake each other", *_made_anew(wanted, identity))
    return good("ordering", "keeps the events of one order in their order")


def _filter(found: Subscription, wanted: Topology, identity: tuple[str, ...]) -> Finding:
    if found.filter:
        text = f"drops what is not {found.filter}: these events are lost"
        return bad("filter", text, *_made_anew(wanted, identity))
    return good("filter", "lets every event through")


def _retention(found: Subscription, wanted: Topology) -> Finding:
    kept = found.message_retention_duration
    if kept < TOPIC_RETENTION_SECONDS:
        text = f"keeps what is not handled for {commands.days(kept)}, then it is lost"
        return bad("retention", text, _update(wanted, commands.retention(TOPIC_RETENTION_SECONDS)))
    return good("retention", f"keeps what is not handled for {commands.days(kept)}")


def _dead_letter_policy(found: Subscription, wanted: Topology) -> Finding:
    check, policy = "dead-letter policy", found.dead_letter_policy
    mend = _update(wanted, *commands.dead_letter_policy(wanted))
    if policy is None:
        return bad(check, "there is none: what always fails is delivered until it is lost", mend)
    if policy.dead_letter_topic != wanted.dead_letter_topic_path:
        actual = policy.dead_letter_topic.rpartition("/")[2]
        return bad(check, f"dead letters go to {actual}, not to {wanted.dead_letter_topic}", mend)
    return good(check, f"dead letters go to {wanted.dead_letter_topic}")


def _attempts(found: Subscription, wanted: Topology) -> Finding:
    check, policy = "delivery attempts", found.dead_letter_policy
    if policy is None:
        return unknown(check, "there is no dead-letter policy")
    hours = hours_of_attempts(found)
    text = f"{policy.max_delivery_attempts} attempts take about {hours:.1f} h"
    if hours < MIN_HOURS_OF_ATTEMPTS:
        mend = _update(wanted, *commands.back_off(wanted), *commands.dead_letter_policy(wanted))
        return bad(check, f"{text}: a shorter outage makes every event a dead letter", mend)
    return good(check, text)


def hours_of_attempts(found: Subscription) -> float:
    """Return how long Pub/Sub goes on trying, in hours: the pause doubles with each attempt."""
    attempts = found.dead_letter_policy.max_delivery_attempts if found.dead_letter_policy else 0
    shortest = found.retry_policy.minimum_backoff if found.retry_policy else 0
    longest = found.retry_policy.maximum_backoff if found.retry_policy else 0
    pauses = [min(shortest * float(2**number), longest) for number in range(attempts - 1)]
    return sum(pauses) / 3_600
