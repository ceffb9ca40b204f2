"""Checks of the push subscription's settings, aside from where it pushes. No I/O."""

from collections.abc import Callable, Iterator

from relay.doctor import commands
from relay.doctor.facts import DeadLetterPolicy, Facts, Subscription
from relay.doctor.findings import Finding, bad, good, judged, unknown
from relay.doctor.topics import exists
from relay.topology import SUBSCRIPTION_RETENTION_SECONDS, TOPIC_RETENTION_SECONDS, Topology

MIN_HOURS_OF_ATTEMPTS = 6  # A worker that is broken overnight must not empty the subscription into the dead letters.

Judge = Callable[[Subscription], Finding]


def check(facts: Facts, wanted: Topology, *, identity: tuple[str, ...]) -> Iterator[Finding]:
    """Yield the findings; `identity` are gcloud's flags for the token that the worker expects."""
    create = commands.create_push_subscription(wanted, identity)
    yield exists("subscription", wanted.subscription, facts.subscription, create)
    judges: dict[str, Judge] = {
        "subscription's topic": lambda found: _topic(found, wanted, identity),
        "ack deadline": lambda found: _ack_deadline(found, wanted),
        "back-off": lambda found: _back_off(found, wanted),
        "expiry": lambda found: _expiry(found, wanted),
        "ordering": lambda found: _ordering(found, wanted, identity),
        "filter": lambda found: _filter(found, wanted, identity),
        "retention": lambda found: _retention(found, wanted),
        "dead-letter policy": lambda found: _dead_letter_policy(found, wanted),
        "delivery attempts": lambda found: _attempts(found, wanted),
    }
    for name, judge in judges.items():
        yield judged(name, facts.subscription, judge, name="the subscription")


def _made_anew(wanted: Topology, identity: tuple[str, ...]) -> tuple[str, ...]:
    """Return the commands that replace the subscription.

    The seek makes undelivered events come back; the store keeps handled ones from being handled twice.
    """
    return (
        commands.delete_subscription(wanted, wanted.subscription),
        commands.create_push_subscription(wanted, identity),
        commands.seek_back(wanted, wanted.subscription, TOPIC_RETENTION_SECONDS),
    )


def _update(wanted: Topology, *flags: str) -> str:
    return commands.update_subscription(wanted, wanted.subscription, *flags)


def _topic(found: Subscription, wanted: Topology, identity: tuple[str, ...]) -> Finding:
    if found.topic != wanted.topic_path or found.detached:
        text = f"reads {found.topic.rpartition('/')[2]}, not {wanted.topic}: the worker gets nothing"
        return bad("subscription's topic", text, *_made_anew(wanted, identity))
    return good("subscription's topic", f"reads {wanted.topic}")


def _ack_deadline(found: Subscription, wanted: Topology) -> Finding:
    check, actual = "ack deadline", found.ack_deadline_seconds
    if actual != wanted.ack_deadline_seconds:
        text = f"is {actual} s, not {wanted.ack_deadline_seconds}: Pub/Sub repeats an event while its handlers run"
        return bad(check, text, _update(wanted, f"--ack-deadline={wanted.ack_deadline_seconds}"))
    return good(check, f"is {actual} s")


def _back_off(found: Subscription, wanted: Topology) -> Finding:
    check, policy = "back-off", found.retry_policy
    command = _update(wanted, *commands.back_off(wanted))
    if policy is None:
        return bad(
            check, "there is none: Pub/Sub repeats a failed delivery at once, until it is a dead letter", command
        )
    text = f"is {policy.minimum_backoff:g} to {policy.maximum_backoff:g} s"
    if (policy.minimum_backoff, policy.maximum_backoff) != (wanted.min_backoff_seconds, wanted.max_backoff_seconds):
        return bad(check, f"{text}, not {wanted.min_backoff_seconds} to {wanted.max_backoff_seconds}", command)
    return good(check, text)


def _expiry(found: Subscription, wanted: Topology) -> Finding:
    ttl = found.expiration_policy.ttl
    if ttl is not None:
        text = f"Pub/Sub removes it after {commands.days(ttl)} without a delivery: later events are lost"
        return bad("expiry", text, _update(wanted, commands.NEVER))
    return good("expiry", "never expires")


def _ordering(found: Subscription, wanted: Topology, identity: tuple[str, ...]) -> Finding:
    if not found.enable_message_ordering:
        # Source: "Message ordering": it can be set at the creation only.
        return bad("ordering", "is off: events of one order overtake one another", *_made_anew(wanted, identity))
    return good("ordering", "keeps the events of one order in their order")


def _filter(found: Subscription, wanted: Topology, identity: tuple[str, ...]) -> Finding:
    if found.filter:
        text = f"Pub/Sub drops every event that does not match {found.filter}: these events are lost"
        return bad("filter", text, *_made_anew(wanted, identity))
    return good("filter", "lets every event through")


def _retention(found: Subscription, wanted: Topology) -> Finding:
    kept = found.message_retention_duration
    if kept < SUBSCRIPTION_RETENTION_SECONDS:
        text = f"keeps an event that is not handled for {commands.days(kept)}, then it is lost"
        return bad("retention", text, _update(wanted, commands.retention(SUBSCRIPTION_RETENTION_SECONDS)))
    return good("retention", f"keeps an event that is not handled for {commands.days(kept)}")


def _dead_letter_policy(found: Subscription, wanted: Topology) -> Finding:
    check, policy = "dead-letter policy", found.dead_letter_policy
    command = _update(wanted, *commands.dead_letter_policy(wanted))
    if not wanted.has_dead_letter_policy:
        return _no_policy(policy, _update(wanted, "--clear-dead-letter-policy"))
    if policy is None:
        return bad(check, "there is none: Pub/Sub repeats an event that always fails until it is lost", command)
    if policy.dead_letter_topic != wanted.dead_letter_topic_path:
        actual = policy.dead_letter_topic.rpartition("/")[2]
        return bad(check, f"dead letters go to {actual}, not to {wanted.dead_letter_topic}", command)
    return good(check, f"dead letters go to {wanted.dead_letter_topic}")


def _no_policy(policy: DeadLetterPolicy | None, clear: str) -> Finding:
    """Judge a subscription that must have no policy, since the local run counts the attempts (relay.local.pushes)."""
    check = "dead-letter policy"
    if policy is not None:
        return bad(check, "there is one: the emulator stops pushing when an event uses up its attempts", clear)
    return good(check, "none: the local run counts the attempts and forwards to the dead letters")


def _attempts(found: Subscription, wanted: Topology) -> Finding:
    check, policy = "delivery attempts", found.dead_letter_policy
    if policy is None:
        return unknown(check, "there is no dead-letter policy")
    hours = hours_of_attempts(found)
    text = f"{policy.max_delivery_attempts} attempts take about {hours:.1f} h"
    if hours < MIN_HOURS_OF_ATTEMPTS:
        command = _update(wanted, *commands.back_off(wanted), *commands.dead_letter_policy(wanted))
        return bad(check, f"{text}: an outage that is longer makes every event a dead letter", command)
    return good(check, text)


def hours_of_attempts(found: Subscription) -> float:
    """Return for how many hours Pub/Sub tries: the pause doubles with each attempt, up to the longest."""
    attempts = found.dead_letter_policy.max_delivery_attempts if found.dead_letter_policy else 0
    shortest = found.retry_policy.minimum_backoff if found.retry_policy else 0
    longest = found.retry_policy.maximum_backoff if found.retry_policy else 0
    pauses = [min(shortest * float(2**number), longest) for number in range(attempts - 1)]
    return sum(pauses) / 3_600
