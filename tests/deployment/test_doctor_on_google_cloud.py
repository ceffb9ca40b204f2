"""`relay doctor` over Google's REST APIs: a deployment as deploy/ makes it is good, and each fault in it is found."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud.run_v2.types import Service
from google.protobuf.json_format import ParseDict

from relay.doctor.cloud import GOOGLE, Cloud
from relay.doctor.examination import examine
from relay.doctor.findings import Finding, Verdict
from relay.doctor.running import COLLECTION
from relay.settings.doctor import DoctorSettings
from relay.stores import firestore
from tests.deployment.conftest import Deployer
from tests.support import google_apis as google
from tests.support.gcloud import complaints
from tests.support.google_apis import GoogleApis, policy
from tests.support.google_cloud import NUMBER, GoogleCloud

Resources = dict[str, dict[str, Any]]
Spoil = Callable[[Resources], object]


@pytest.fixture(scope="module")
def running_apis() -> Iterator[GoogleApis]:
    with GoogleApis().running() as running:
        yield running


@pytest.fixture
def apis(running_apis: GoogleApis) -> GoogleApis:
    running_apis.install()
    return running_apis


def examined(apis: GoogleApis) -> list[Finding]:
    cloud = Cloud(AuthorizedSession(AnonymousCredentials()), dict.fromkeys(GOOGLE, apis.url))
    return examine(cloud, DoctorSettings.from_environ({"GOOGLE_CLOUD_PROJECT": google.PROJECT}), {})


def bad_checks(findings: list[Finding]) -> set[str]:
    return {finding.check for finding in findings if finding.verdict is Verdict.BAD}


def push_config(resources: Resources) -> dict[str, Any]:
    config: dict[str, Any] = resources[google.PUSH]["pushConfig"]
    return config


def template(resources: Resources, path: str) -> dict[str, Any]:
    found: dict[str, Any] = resources[path]["template"]
    return found


def set_variable(resources: Resources, path: str, name: str, value: str) -> None:
    container = template(resources, path)["containers"][0]
    others = [variable for variable in container["env"] if variable["name"] != name]
    container["env"] = [*others, {"name": name, "value": value}]


def let_cloud_run_check(resources: Resources, *, audience: str) -> None:
    set_variable(resources, google.WORKER, "PUSH_AUTH", "iam")
    set_variable(resources, google.WORKER, "PUSH_AUDIENCE", "")
    push_config(resources)["oidcToken"]["audience"] = audience


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
        lambda it: it.update({f"{google.RECEIVER}:getIamPolicy": policy()}),
        {"OneStock may call receiver"},
    ),
    "Cloud Run waits longer than Pub/Sub": (
        lambda it: template(it, google.WORKER).update(timeout="3600s"),
        {"limits"},
    ),
    "Cloud Run breaks handlers off": (lambda it: template(it, google.WORKER).update(timeout="30s"), {"limits"}),
    "Cloud Run breaks publishing off": (
        lambda it: template(it, google.RECEIVER).update(timeout="5s"),
        {"receiver's time"},
    ),
    "a store that forgets": (
        lambda it: set_variable(it, google.WORKER, "IDEMPOTENCY_STORE", "memory"),
        {"store"},
    ),
    "no database": (lambda it: it.pop(google.DOCUMENTS), {"store"}),
    "nothing expires": (lambda it: it.update({google.EXPIRY: {"name": google.EXPIRY}}), {"store's expiry"}),
    "anybody may push": (
        lambda it: set_variable(it, google.WORKER, "PUSH_AUTH", "off"),
        {"worker's settings"},
    ),
    "Cloud Run checks the pusher, for another address": (
        lambda it: let_cloud_run_check(it, audience="https://elsewhere.example.com"),
        {"push audience"},
    ),
    "orders cannot be fetched": (
        lambda it: set_variable(it, google.WORKER, "ONESTOCK_API_URL", "https://api.example.com"),
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


def test_a_deployment_that_is_right_has_nothing_but_good_findings(apis: GoogleApis) -> None:
    findings = examined(apis)

    assert {finding.check for finding in findings if finding.verdict is not Verdict.GOOD} == set()


def test_the_fake_services_are_what_cloud_run_says() -> None:
    for path in (google.RECEIVER, google.WORKER):
        ParseDict(google.installed("https://example.com")[path], Service.pb(Service()))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_nothing_else(name: str, apis: GoogleApis) -> None:
    spoil, expected = FAULTS[name]
    spoil(apis.resources)

    assert bad_checks(examined(apis)) == expected


def test_a_grant_on_the_whole_project_counts(apis: GoogleApis) -> None:
    apis.resources[f"{google.PUSH}:getIamPolicy"] = policy()
    apis.resources[f"projects/{google.PROJECT}:getIamPolicy"] = policy(pubsub_subscriber=google.AGENT)

    assert bad_checks(examined(apis)) == set()


def test_a_grant_under_a_condition_does_not_count(apis: GoogleApis) -> None:
    apis.resources[f"{google.PUSH}:getIamPolicy"]["bindings"][0]["condition"] = {"expression": "false"}

    assert bad_checks(examined(apis)) == {"dead-letter subscriber"}


@pytest.mark.parametrize("path", sorted(set(google.installed("")) - {"receiver/health"}))
def test_what_may_not_be_seen_is_never_good(path: str, apis: GoogleApis) -> None:
    seen = {finding.check for finding in examined(apis) if finding.verdict is Verdict.GOOD}
    apis.forbidden.add(path)

    findings = examined(apis)

    still_good = {finding.check for finding in findings if finding.verdict is Verdict.GOOD}
    tells_less = path in {f"projects/{google.PROJECT}", f"projects/{google.PROJECT}:getIamPolicy"}
    assert still_good < seen or tells_less
    assert bad_checks(findings) == set()


def test_a_secret_of_the_worker_that_may_not_be_read_leaves_its_settings_open(apis: GoogleApis) -> None:
    reference = {"secretKeyRef": {"secret": "onestock-password", "version": "1"}}
    variable = {"name": "ONESTOCK_PASSWORD", "valueSource": reference}
    template(apis.resources, google.WORKER)["containers"][0]["env"].append(variable)
    apis.forbidden.add(f"projects/{google.PROJECT}/secrets/onestock-password/versions/1:access")

    verdicts = {finding.check: finding.verdict for finding in examined(apis)}

    assert verdicts["worker's settings"] is Verdict.UNKNOWN


def test_no_finding_repeats_a_hash_key(apis: GoogleApis) -> None:
    assert all(key not in repr(examined(apis)) for key in google.KEYS.split(","))


def test_every_command_is_one_that_gcloud_knows(apis: GoogleApis, tmp_path: Path) -> None:
    commands: set[str] = set()
    for spoil, _ in FAULTS.values():
        apis.install()
        spoil(apis.resources)
        commands.update(command for finding in examined(apis) for command in finding.mend)

    assert complaints(commands, tmp_path) == []
    named = {command.rpartition(" | ")[2].split(" ")[1] for command in commands}
    assert named == {"pubsub", "run", "firestore", "secrets", "logging"}


def test_what_deploy_applies_is_what_the_doctor_asks_for(deployer: Deployer, cloud: GoogleCloud) -> None:
    deployer.did("apply", "pubsub", DEAD_LETTER_RETENTION="7d")  # The emulator's maximum.
    worker_url = f"https://onestock-worker-{NUMBER}.europe-west1.run.app"
    settings = {"GOOGLE_CLOUD_PROJECT": cloud.project, "WORKER_URL": worker_url}

    apis = Cloud(AuthorizedSession(AnonymousCredentials()), {"pubsub": f"{cloud.url}/pubsub/v1"})
    findings = examine(apis, DoctorSettings.from_environ(settings), {})

    good = {finding.check for finding in findings if finding.verdict is Verdict.GOOD}
    assert bad_checks(findings) == set()
    assert good >= {"topic subscribed", "push endpoint", "ack deadline", "back-off", "expiry", "ordering", "filter"}
    assert good >= {"dead-letter policy", "dead-letter publisher", "dead-letter subscriber", "dead-letter expiry"}


def test_the_collection_is_the_stores_own() -> None:
    assert COLLECTION == firestore.COLLECTION
