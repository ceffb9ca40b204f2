"""Checks of the topic, the dead-letter topic and the subscription that keeps the dead letters. No I/O."""

from collections.abc import Iterator

from relay.doctor import commands
from relay.doctor.facts import Facts, Missing, Subscription, Topic
from relay.doctor.findings import Absent, Finding, Unreadable, about, bad, good, unknown
from relay.topology import LEAST_DEAD_LETTER_RETENTION_SECONDS, TOPIC_RETENTION_SECONDS, Topology


def check(facts: Facts, wanted: Topology, *, make_subscription: str) -> Iterator[Finding]:
    """Yield the findings; `make_subscription` is the command that makes the push subscription."""
    yield exists("topic", wanted.topic, facts.topic, commands.create_topic(wanted, wanted.topic))
    # Both topics first: the commands are run in this order, and a subscription needs both.
    make = commands.create_topic(wanted, wanted.dead_letter_topic)
    yield exists("dead-letter topic", wanted.dead_letter_topic, facts.dead_letter_topic, make)
    yield about("topic retention", facts.topic, lambda topic: _retention(topic, wanted), missing="the topic")
    yield about(
        "topic subscribed",
        facts.attached,
        lambda names: _subscribed(names, wanted, make_subscription),
        missing="the topic",
    )
    make = commands.create_dead_letter_subscription(wanted, LEAST_DEAD_LETTER_RETENTION_SECONDS)
    kept = facts.dead_letter_subscription
    yield exists("dead-letter subscription", wanted.dead_letter_subscription, kept, make)
    missing = "the dead-letter subscription"
    yield about("dead letters kept", kept, lambda found: _reads_dead_letters(found, wanted), missing=missing)
    yield about("dead-letter expiry", kept, lambda found: _dead_letter_expiry(found, wanted), missing=missing)
    yield about("dead-letter retention", kept, lambda found: _dead_letter_retention(found, wanted), missing=missing)


def exists(check: str, name: str, fact: Topic | Subscription | Missing, make: str) -> Finding:
    """Return whether a resource is there. That nobody answers is bad: then nothing works."""
    match fact:
        case Absent():
            return bad(check, f"{name} does not exist", make)
        case Unreadable(is_outage=True):
            return bad(check, f"{fact.reason}: is PUBSUB_EMULATOR_HOST right, is there a way to Google?")
        case Unreadable():
            return unknown(check, fact.reason)
    return good(check, f"{name} exists")


def _retention(topic: Topic, wanted: Topology) -> Finding:
    check, kept = "topic retention", topic.message_retention_duration
    if kept < TOPIC_RETENTION_SECONDS:
        mend = commands.update_topic(wanted, wanted.topic, commands.retention(TOPIC_RETENTION_SECONDS))
        return bad(check, f"keeps messages for {commands.days(kept)}: a replay cannot reach further back", mend)
    return good(check, f"keeps messages for {commands.days(kept)}")


def _subscribed(names: tuple[str, ...], wanted: Topology, make: str) -> Finding:
    check = "topic subscribed"
    if wanted.subscription_path in names:
        return good(check, f"{wanted.subscription} gets its messages")
    others = ", ".join(name.rpartition("/")[2] for name in names)
    lost = f"only {others} get its messages, the worker none" if names else "nobody gets its messages: events are lost"
    return bad(check, lost, make)


def _reads_dead_letters(found: Subscription, wanted: Topology) -> Finding:
    check = "dead letters kept"
    name = wanted.dead_letter_subscription
    if found.topic != wanted.dead_letter_topic_path or found.detached:
        mend = commands.create_dead_letter_subscription(wanted, LEAST_DEAD_LETTER_RETENTION_SECONDS)
        delete = commands.delete_subscription(wanted, name)
        text = f"{name} reads {found.topic.rpartition('/')[2]}, not {wanted.dead_letter_topic}: dead letters are lost"
        return bad(check, text, delete, mend, commands.seek_back(wanted, name, "31 days"))
    if found.push_config.push_endpoint:
        text = f"{name} pushes to {found.push_config.push_endpoint}; the dead-letters commands pull"
        return bad(check, text, commands.update_subscription(wanted, name, "--push-endpoint="))
    return good(check, f"{name} keeps what goes to {wanted.dead_letter_topic}")


def _dead_letter_expiry(found: Subscription, wanted: Topology) -> Finding:
    check, ttl = "dead-letter expiry", found.expiration_policy.ttl
    if ttl is not None:
        mend = commands.update_subscription(wanted, wanted.dead_letter_subscription, commands.NEVER)
        return bad(check, f"is removed after {commands.days(ttl)} in which nobody pulls, dead letters and all", mend)
    return good(check, "never expires")


def _dead_letter_retention(found: Subscription, wanted: Topology) -> Finding:
    check, kept = "dead-letter retention", found.message_retention_duration
    if kept < LEAST_DEAD_LETTER_RETENTION_SECONDS:
        flag = commands.retention(LEAST_DEAD_LETTER_RETENTION_SECONDS)
        mend = commands.update_subscription(wanted, wanted.dead_letter_subscription, flag)
        return bad(check, f"keeps a dead letter for {commands.days(kept)}: a long weekend, and it is gone", mend)
    return good(check, f"keeps a dead letter for {commands.days(kept)}")
