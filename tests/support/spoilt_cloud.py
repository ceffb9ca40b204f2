"""Faults in a deployment, each with the checks of `relay doctor` that it makes bad."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import ParseDict
from google.pubsub_v1 import PushConfig

from relay.pubsub.pausing import Pause
from tests.support import google_apis as google
from tests.support.google_apis import policy

Resources = dict[str, dict[str, Any]]
"""What Google's APIs answer for each path."""
Spoil = Callable[[Resources], object]
"""Puts one fault into them."""


def push_config(resources: Resources) -> dict[str, Any]:
    config: dict[str, Any] = resources[google.PUSH]["pushConfig"]
    return config


def set_variable(resources: Resources, path: str, name: str, value: str) -> None:
    container = resources[path]["containers"][0]
    others = [variable for variable in container["env"] if variable["name"] != name]
    container["env"] = [*others, {"name": name, "value": value}]


def let_tokens_be_for(resources: Resources, audience: str) -> None:
    """Give the subscription and the worker the same audience."""
    push_config(resources)["oidcToken"]["audience"] = audience
    set_variable(resources, google.WORKING, "PUSH_AUDIENCE", audience)


def share(revision: str, percent: int) -> dict[str, Any]:
    return {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": revision, "percent": percent}


def pin(resources: Resources) -> None:
    """Give all traffic to the revision by its name, with a newer one that has none."""
    resources[google.WORKER]["trafficStatuses"] = [share("onestock-worker-00001-abc", 100)]
    resources[google.WORKER]["latestReadyRevision"] = f"{google.WORKER}/revisions/onestock-worker-00002-def"
    resources[google.WORKER]["latestCreatedRevision"] = resources[google.WORKER]["latestReadyRevision"]


def pause(resources: Resources, reason: str = "repair") -> None:
    config = ParseDict(push_config(resources), PushConfig.pb(PushConfig()))
    since = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    labels = Pause(since=since, reason=reason, push_config=PushConfig.wrap(config)).labels
    resources[google.PAUSED] = {"name": google.PAUSED, "labels": labels}
    resources[google.PUSH]["pushConfig"] = {}


FAULTS: dict[str, tuple[Spoil, set[str]]] = {
    "nothing on Pub/Sub": (
        lambda it: [it.pop(path) for path in (google.TOPIC, google.DEAD_LETTERS, google.PUSH, google.PULL)],
        {"topic", "dead-letter topic", "subscription", "dead-letter subscription"},
    ),
    "Pub/Sub's defaults": (
        lambda it: it.update({google.PUSH: {"topic": google.TOPIC}, google.PULL: {"topic": google.DEAD_LETTERS}}),
        {
            *("push endpoint", "push identity", "push audience", "ack deadline", "back-off", "expiry", "ordering"),
            *("dead-letter policy", "limits", "dead-letter expiry"),
        },
    ),
    "another audience": (
        lambda it: push_config(it)["oidcToken"].update(audience="https://elsewhere.example.com"),
        {"push audience"},
    ),
    "another pusher": (
        lambda it: push_config(it)["oidcToken"].update(serviceAccountEmail="x@example.com"),
        {"push identity"},
    ),
    "no token": (lambda it: push_config(it).pop("oidcToken"), {"push identity", "push audience"}),
    "another endpoint": (
        lambda it: push_config(it).update(pushEndpoint="https://old.example.com/pubsub/push"),
        {"push endpoint"},
    ),
    "detached": (lambda it: it[google.PUSH].update(detached=True), {"subscription's topic"}),
    "Pub/Sub may not dead-letter": (
        lambda it: it.update({f"{google.DEAD_LETTERS}:getIamPolicy": policy()}),
        {"dead-letter publisher", "worker may quarantine"},
    ),
    "Pub/Sub may not acknowledge": (
        lambda it: it.update({f"{google.PUSH}:getIamPolicy": policy(pubsub_viewer=google.AGENT)}),
        {"dead-letter subscriber"},
    ),
    "the agent of another project": (
        lambda it: it.update(
            {f"{google.PUSH}:getIamPolicy": policy(pubsub_subscriber=google.AGENT.replace("123", "999"))}
        ),
        {"dead-letter subscriber"},
    ),
    "the receiver may not publish": (
        lambda it: it.update({f"{google.TOPIC}:getIamPolicy": policy()}),
        {"receiver may publish"},
    ),
    "Pub/Sub may not call the worker": (
        lambda it: it.update({f"{google.WORKER}:getIamPolicy": policy()}),
        {"push may call worker"},
    ),
    "OneStock may not call the receiver": (
        lambda it: it[google.RECEIVER].update(invokerIamDisabled=False),
        {"OneStock may call receiver"},
    ),
    "Cloud Run waits longer than Pub/Sub": (
        lambda it: it[google.WORKING].update(timeout="3600s"),
        {"limits"},
    ),
    "Cloud Run breaks handlers off": (lambda it: it[google.WORKING].update(timeout="30s"), {"limits"}),
    "Cloud Run breaks publishing off": (
        lambda it: it[google.RECEIVING].update(timeout="5s"),
        {"receiver's time"},
    ),
    "a store that forgets": (
        lambda it: set_variable(it, google.WORKING, "IDEMPOTENCY_STORE", "memory"),
        {"store"},
    ),
    "no database": (lambda it: it.pop(google.DOCUMENTS), {"store"}),
    "nothing expires": (lambda it: it.update({google.EXPIRY: {"name": google.EXPIRY}}), {"store's expiry"}),
    "anybody may push": (
        lambda it: set_variable(it, google.WORKING, "PUSH_AUTH", "off"),
        {"worker's settings"},
    ),
    "an audience that Cloud Run does not know": (
        lambda it: let_tokens_be_for(it, "https://elsewhere.example.com"),
        {"push audience"},
    ),
    "oidc behind the invoker check": (
        lambda it: set_variable(it, google.WORKING, "PUSH_AUTH", "oidc"),
        {"invoker check"},
    ),
    "iam with the invoker check off": (
        lambda it: it[google.WORKER].update(invokerIamDisabled=True),
        {"invoker check"},
    ),
    "iam with everybody as invoker": (
        lambda it: it[f"{google.WORKER}:getIamPolicy"]["bindings"][0]["members"].append("allUsers"),
        {"invoker check"},
    ),
    "traffic is pinned": (pin, {"worker's traffic"}),
    "runs are forgotten before the dead letters": (
        lambda it: set_variable(it, google.WORKING, "RETENTION_SECONDS", "691200"),
        {"memory of runs"},
    ),
    "a pause": (pause, {"pause"}),
    "a channel that is gone": (
        lambda it: [policy.update(notificationChannels=[]) for policy in it[google.ALERTS]["alertPolicies"]],
        {"alerts"},
    ),
    "no alerts": (lambda it: it[google.ALERTS].update(alertPolicies=[]), {"alerts"}),
    "orders cannot be fetched": (
        lambda it: set_variable(it, google.WORKING, "ONESTOCK_API_URL", "https://api.example.com"),
        {"worker's settings"},
    ),
    "no worker": (lambda it: it.pop(google.WORKER), {"worker's settings"}),
    "a secret with a line break": (
        lambda it: it[google.SECRET].update(payload={"data": "dGVzdC1rZXkKdGVzdA=="}),
        {"hash keys"},
    ),
    "a revision that does not start": (
        lambda it: it[google.WORKER].update(terminalCondition={"type": "Ready", "state": "CONDITION_FAILED"}),
        {"worker answers"},
    ),
}
