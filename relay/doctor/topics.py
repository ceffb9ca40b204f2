"""Checks of the topic, the dead-letter topic and the subscription that keeps the dead letters. No I/O."""

from collections.abc import Iterator

from relay.doctor import commands
from relay.doctor.facts import Facts, Missing, Subscription, Topic
from relay.doctor.findings import Absent, Finding, Unreadable, bad, good, judged, unknown
from relay.topology import (
    DEAD_LETTER_TOPIC_RETENTION_SECONDS,
    LEAST_DEAD_LETTER_RETENTION_SECONDS,
    TOPIC_RETENTION_SECONDS,
    Topology,
)


def check(facts: Facts, wanted: Topology, *, identity: tuple[str, ...]) -> Iterator[Finding]:
    """Yield the findings; `identity` are gcloud's flags for the token that the worker expects."""
    yield exists("topic", wanted.topic, facts.topic, commands.create_topic(wanted, wanted.topic))
    # Both topics first: the commands are run in this order, and a subscription needs both.
    create = commands.create_topic(wanted, wanted.dead_letter_topic)
    yield exists("dead-letter topic", wanted.dead_letter_topic, facts.dead_letter_topic, create)
    yield judged("topic retention", facts.topic, lambda topic: _retention(topic, wanted), name="the topic")
    create = commands.create_push_subscription(wanted, identity)
    yield judged("topic subscribed", facts.attached, lambda names: _subscribed(names, wanted, create), name="the topic")
    yield from _dead_letter_subscription(facts, wanted)


def _dead_letter_subscription(facts: Facts, wanted: Topology) -> Iterator[Finding]:
    create = commands.create_dead_letter_subscription(wanted)
    found, name = facts.dead_letter_subscription, "the dead-letter subscription"
    yield exists("dead-letter subscription", wanted.dead_letter_subscription, found, create)
    yield judged("dead letters kept", found, lambda kept: _reads_dead_letters(kept, wanted), name=name)
    yield judged("dead-letter expiry", found, lambda kept: _dead_letter_expiry(kept, wanted), name=name)
    yield judged("dead-letter retention", found, lambda kept: _dead_letter_retention(kept, wanted), name=name)


def exists(check: str, name: str, fact: Topic | Subscription | Missing, create: str) -> Finding:
    """Return whether a resource exists. No answer at all is bad: the relay cannot work without Pub/Sub."""
    match fact:
        case Absent():
            return bad(check, f"{name} does not exist", create)
        case Unreadable(is_outage=True):
            return bad(check, fact.reason)
        case Unreadable():
            return unknown(check, fact.reason)
    return good(check, f"{name} exists")


def _retention(topic: Topic, wanted: Topology) -> Finding:
    check, kept = "topic retention", topic.message_retention_duration
    if kept < TOPIC_RETENTION_SECONDS:
        command = commands.update_topic(wanted, wanted.topic, commands.retention(TOPIC_RETENTION_SECONDS))
        return bad(check, f"keeps messages for {commands.days(kept)}: a replay cannot reach further back", command)
    return good(check, f"keeps messages for {commands.days(kept)}")


def _subscribed(names: tuple[str, ...], wanted: Topology, create: str) -> Finding:
    check = "topic subscribed"
    if wanted.subscription_path in names:
        return good(check, f"{wanted.subscription} gets its messages")
    others = ", ".join(name.rpartition("/")[2] for name in names)
    text = f"only {others} get its messages, the worker none" if names else "nobody gets its messages: events are lost"
    return bad(check, text, create)


def _reads_dead_letters(found: Subscription, wanted: Topology) -> Finding:
    check = "dead letters kept"
    name = wanted.dead_letter_subscription
    if found.topic != wanted.dead_letter_topic_path or found.detached:
        create = commands.create_dead_letter_subscription(wanted)
        delete = commands.delete_subscription(wanted, name)
        seek = commands.seek_back(wanted, name, DEAD_LETTER_TOPIC_RETENTION_SECONDS)
        text = f"{name} reads {found.topic.rpartition('/')[2]}, not {wanted.dead_letter_topic}: dead letters are lost"
        return bad(check, text, delete, create, seek)
    if found.push_config.push_endpoint:
        text = f"{name} pushes to {found.push_config.push_endpoint}; the dead-letters commands pull"
        return bad(check, text, commands.update_subscription(wanted, name, "--push-endpoint="))
    return good(check, f"{name} keeps the messages of {wanted.dead_letter_topic}")


def _dead_letter_expiry(found: Subscription, wanted: Topology) -> Finding:
    check, ttl = "dead-letter expiry", found.expiration_policy.ttl
    if ttl is not None:
        command = commands.update_subscription(wanted, wanted.dead_letter_subscription, commands.NEVER)
        text = f"Pub/Sub removes it with its dead letters after {commands.days(ttl)} in which nobody pulls"
        return bad(check, text, command)
    return good(check, "never expires")


def _dead_letter_retention(found: Subscription, wanted: Topology) -> Finding:
    check, kept = "dead-letter retention", found.message_retention_duration
    if kept < LEAST_DEAD_LETTER_RETENTION_SECONDS:
        flag = commands.retention(wanted.dead_letter_retention_seconds)
        command = commands.update_subscription(wanted, wanted.dead_letter_subscription, flag)
        text = f"keeps a dead letter for {commands.days(kept)}: nobody may look at it in time"
        return bad(check, text, command)
    return good(check, f"keeps a dead letter for {commands.days(kept)}")
