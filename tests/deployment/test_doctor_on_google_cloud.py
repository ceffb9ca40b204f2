"""`relay doctor` over Google's REST APIs: a deployment as deploy/ makes it is good, and each fault in it is found."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud.run_v2.types import Revision, Service
from google.protobuf.json_format import ParseDict

from deploy.installation import Installation
from deploy.resources import Found
from deploy.wanted import pubsub
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
from tests.support.spoilt_cloud import FAULTS, pause, pin, push_config, set_variable


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


def test_a_deployment_that_is_right_has_nothing_but_good_findings(apis: GoogleApis) -> None:
    findings = examined(apis)

    assert {finding.check for finding in findings if finding.verdict is not Verdict.GOOD} == set()


def test_the_fake_services_are_what_cloud_run_says() -> None:
    resources = google.installed("https://example.com")
    for service, revision in ((google.RECEIVER, google.RECEIVING), (google.WORKER, google.WORKING)):
        ParseDict(resources[service], Service.pb(Service()))
        ParseDict(resources[revision], Revision.pb(Revision()))


def test_either_address_of_the_worker_is_a_good_endpoint(apis: GoogleApis) -> None:
    other = next(url for url in apis.resources[google.WORKER]["urls"] if url != apis.resources[google.WORKER]["uri"])
    push_config(apis.resources)["pushEndpoint"] = f"{other}/pubsub/push"

    assert bad_checks(examined(apis)) == set()


def test_a_receiver_that_everybody_is_granted_is_as_good_as_one_without_the_invoker_check(apis: GoogleApis) -> None:
    apis.resources[google.RECEIVER]["invokerIamDisabled"] = False
    apis.resources[f"{google.RECEIVER}:getIamPolicy"] = policy(run_invoker="allUsers")

    assert bad_checks(examined(apis)) == set()


def test_oidc_without_the_invoker_check_is_good(apis: GoogleApis) -> None:
    apis.resources[google.WORKER]["invokerIamDisabled"] = True
    set_variable(apis.resources, google.WORKING, "PUSH_AUTH", "oidc")

    assert bad_checks(examined(apis)) == set()


def test_the_revision_that_has_the_traffic_is_examined_and_not_the_latest_template(apis: GoogleApis) -> None:
    pin(apis.resources)
    set_variable(apis.resources, google.WORKING, "IDEMPOTENCY_STORE", "memory")

    findings = examined(apis)

    to_latest = next(finding.commands for finding in findings if finding.check == "worker's traffic")
    assert bad_checks(findings) == {"worker's traffic", "store"}
    assert all(finding.commands[-1:] == to_latest for finding in findings if finding.verdict is Verdict.BAD)
    assert "update-traffic onestock-worker --to-latest" in to_latest[0]


def test_a_newer_revision_without_traffic_is_told_since_it_may_have_been_rolled_back(apis: GoogleApis) -> None:
    pin(apis.resources)

    told = next(finding for finding in examined(apis) if finding.check == "worker's traffic")

    assert "onestock-worker-00002-def is newer: after a rollback deploy a good revision" in told.text


def test_a_pause_is_told_with_its_moment_and_reason(apis: GoogleApis) -> None:
    pause(apis.resources, reason="the shop moves")

    told = next(finding for finding in examined(apis) if finding.check == "pause")

    assert "2026-01-31 09:30:00 UTC (the shop moves)" in told.text
    assert "from 2026-02-07 09:30:00 UTC on the oldest are lost" in told.text
    assert "relay resume" in told.commands[0]


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
    # No check depends on these alone.
    of_project = {f"projects/{google.PROJECT}", f"projects/{google.PROJECT}:getIamPolicy"}
    assert still_good < seen or path in of_project | {f"{google.RECEIVER}:getIamPolicy"}
    assert bad_checks(findings) == set()


def test_a_secret_of_the_worker_that_may_not_be_read_leaves_its_settings_open(apis: GoogleApis) -> None:
    reference = {"secretKeyRef": {"secret": "onestock-password", "version": "1"}}
    variable = {"name": "ONESTOCK_PASSWORD", "valueSource": reference}
    apis.resources[google.WORKING]["containers"][0]["env"].append(variable)
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
        commands.update(command for finding in examined(apis) for command in finding.commands)

    gcloud = {command for command in commands if "python -m" not in command and " relay " not in f" {command}"}
    assert complaints(gcloud, tmp_path) == []
    named = {command.rpartition(" | ")[2].split(" ")[1] for command in gcloud}
    assert named == {"pubsub", "run", "firestore", "secrets", "logging"}


def test_what_deploy_applies_is_what_the_doctor_asks_for(deployer: Deployer, cloud: GoogleCloud) -> None:
    deployer.did("apply", "pubsub")
    worker_url = f"https://onestock-worker-{NUMBER}.europe-west1.run.app"
    settings = {"GOOGLE_CLOUD_PROJECT": cloud.project, "WORKER_URL": worker_url}

    apis = Cloud(AuthorizedSession(AnonymousCredentials()), {"pubsub": f"{cloud.url}/pubsub/v1"})
    findings = examine(apis, DoctorSettings.from_environ(settings), {})

    good = {finding.check for finding in findings if finding.verdict is Verdict.GOOD}
    assert bad_checks(findings) == set()
    assert good >= {"topic subscribed", "push endpoint", "ack deadline", "back-off", "expiry", "ordering", "filter"}
    assert good >= {"dead-letter policy", "dead-letter publisher", "dead-letter subscriber", "dead-letter expiry"}


def test_what_is_missing_is_made_as_deploy_makes_it(apis: GoogleApis) -> None:
    FAULTS["nothing on Pub/Sub"][0](apis.resources)
    installation = Installation(project=google.PROJECT, project_number=google.NUMBER)
    apis.resources[google.WORKER]["urls"].append(installation.worker_url)
    set_variable(apis.resources, google.WORKING, "PUSH_AUDIENCE", installation.worker_url)
    deployed = plan_of(installation)

    printed = [shlex.split(command)[1:] for command in commands_of(apis)]

    made = {words[3]: set(words) - {f"--project={google.PROJECT}"} for words in printed if "create" in words}
    assert made == deployed
    assert "--message-retention-duration=31d" in made["onestock-dead-letters-pull"]


def plan_of(installation: Installation) -> dict[str, set[str]]:
    """Return the words of the commands with which deploy makes topics and subscriptions, by name."""
    nothing = Found({})
    changes = [change for item in pubsub.items(installation) for change in item.changes(nothing)]
    commands = [change.command for change in changes if change.command[0] == "pubsub"]
    return {command[3]: set(command) for command in commands if command[2] == "create"}


def commands_of(apis: GoogleApis) -> set[str]:
    """Return the commands that the doctor prints."""
    return {command for finding in examined(apis) for command in finding.commands}


def test_the_collection_is_the_stores_own() -> None:
    assert COLLECTION == firestore.COLLECTION
