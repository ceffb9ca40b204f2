"""`python -m deploy install` from an empty project to two services with traffic, where nothing is known at once.

The organisation refuses allUsers and data outside the region, and each thing that was just made is unknown to the first
request that needs it. Cloud Build runs the deploying steps on what gcloud uploaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from subprocess import CompletedProcess

import pytest

from tests.deployment.conftest import Deployer, somebody
from tests.deployment.test_services import Candidate, traffic_of
from tests.support.google_cloud import GoogleCloud
from tests.support.google_refusals import Call
from tests.support.serving import serving_requests

pytestmark = pytest.mark.timeout(900)  # Two hundred runs of gcloud, most of them in the first fixture.
SETTINGS = {
    "ONESTOCK_HASH_KEYS": "a-test-hash-key",
    "DEAD_LETTER_RETENTION": "7d",  # The emulator's maximum; Pub/Sub's is 31d.
    "WORKER_MAX": "20",
}
STEPS = ["apply", "deploy-worker", "promote-worker", "deploy-receiver", "smoke", "promote-receiver"]


@dataclass(frozen=True)
class Installed:
    """What two installations printed, the changes that Google was asked for, and who it refused for the time being."""

    first: CompletedProcess[str]
    second: CompletedProcess[str]
    changes: list[Call]
    not_known_yet: set[tuple[str, str, str]]


@pytest.fixture(scope="module")
def newcomer(cloud: GoogleCloud, tmp_path_factory: pytest.TempPathFactory) -> Deployer:
    return somebody(cloud, tmp_path_factory)


@pytest.fixture(scope="module")
def installed(newcomer: Deployer, cloud: GoogleCloud) -> Iterator[Installed]:
    cloud.refusals.is_slow = True
    with serving_requests(Candidate().answer) as cloud.run.address:
        first = newcomer.run("install", stdin="on-call@example.com\n", **SETTINGS)
        cloud.refusals.is_slow = False
        before = len(cloud.calls)
        second = newcomer.run("install")
        yield Installed(first, second, cloud.calls[before:], cloud.refusals.seen)


def test_one_command_leads_from_an_empty_project_to_two_services_with_traffic(
    installed: Installed, newcomer: Deployer
) -> None:
    assert installed.first.returncode == 0, installed.first.stderr[-3000:] + "".join(newcomer.cloud.build.said[-2:])
    assert "OneStock's webhooks go to https://onestock-receiver-x.a.run.app" in installed.first.stdout
    assert [said.partition(":")[0] for said in newcomer.cloud.build.said[: len(STEPS)]] == STEPS
    for role in ("worker", "receiver"):
        assert list(traffic_of(newcomer, role).values()) == [100]


def test_what_was_chosen_is_kept_in_a_file_that_the_build_reads(installed: Installed, newcomer: Deployer) -> None:
    assert f"{newcomer.kept} keeps what was chosen; commit it" in installed.first.stdout
    assert {"ALERT_EMAIL=on-call@example.com", "WORKER_MAX=20"} <= set(newcomer.kept.read_text().splitlines())
    worker = newcomer.cloud.run.services["onestock-worker"]
    assert worker["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "20"


def test_it_waits_for_all_that_google_does_not_know_at_once(installed: Installed) -> None:
    refused_for = {api for api, _, _ in installed.not_known_yet}

    assert refused_for >= {"iam", "pubsub", "secretmanager", "firestore", "artifactregistry", "storage", "upload"}
    assert refused_for >= {"logging", "monitoring", "cloudbuild", "cloudresourcemanager", "run", "serviceusage"}
    assert "waiting up to 600 s for what was just made" in installed.first.stderr


def test_a_second_installation_builds_and_changes_nothing_else(installed: Installed, cloud: GoogleCloud) -> None:
    of_the_build = {"upload", "cloudbuild", "run"}
    changes = [call for call in installed.changes if call.api not in of_the_build]

    assert installed.second.returncode == 0, "".join(cloud.build.said[-2:])
    assert {call.path.rpartition(":")[2] for call in changes} == {"publish", "list"}


def test_the_builds_sources_lie_in_the_region(installed: Installed, cloud: GoogleCloud) -> None:
    assert installed.first.returncode == 0
    sources = [build["source"]["storageSource"] for build in cloud.build.builds.values()]
    bucket = cloud.held["storage", f"b/{cloud.project}-onestock-build"]

    assert {source["bucket"] for source in sources} == {bucket["name"]}
    assert bucket["location"] == "europe-west1"
