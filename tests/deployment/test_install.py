"""`python -m deploy install` from an empty project to two services with traffic, and what is done to these afterwards.

The organisation refuses allUsers and data outside the region, and each thing that was just made is unknown to the first
request that needs it. Cloud Build runs the deploying steps on what gcloud uploaded.
"""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import CompletedProcess

import pytest
import requests

from tests.deployment.conftest import Deployer, somebody
from tests.deployment.test_services import FIRST, SECOND, Candidate, environ_of, service_of, traffic_of
from tests.support.google_cloud import GoogleCloud
from tests.support.google_refusals import Call
from tests.support.serving import serving_requests

# Three hundred runs of gcloud, most of them in the first fixture.
pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]
SETTINGS = {
    "ONESTOCK_HASH_KEYS": "key-1,key-0",
    "DEAD_LETTER_RETENTION": "7d",  # The emulator's maximum; Pub/Sub's is 31d.
    "WORKER_MAX": "20",
}
STEPS = ["name", "push", "apply", "deploy-worker", "promote-worker", "deploy-receiver", "smoke", "promote-receiver"]


@dataclass(frozen=True)
class Installed:
    """What two installations printed, the changes that Google was asked for, and who it refused for the time being."""

    first: CompletedProcess[str]
    second: CompletedProcess[str]
    changes: list[Call]
    not_known_yet: set[tuple[str, str, str]]


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    return Candidate()


@pytest.fixture(scope="module")
def newcomer(cloud: GoogleCloud, tmp_path_factory: pytest.TempPathFactory) -> Deployer:
    return somebody(cloud, tmp_path_factory)


@pytest.fixture(scope="module")
def installed(newcomer: Deployer, cloud: GoogleCloud, candidate: Candidate) -> Iterator[Installed]:
    cloud.refusals.is_slow = True
    front = cloud.run.front("onestock-receiver", candidate.answer, cloud.callers)
    with serving_requests(front) as cloud.run.address:
        first = newcomer.run("install", stdin="on-call@example.com\n", **SETTINGS)
        cloud.refusals.is_slow = False
        before = len(cloud.calls)
        second = newcomer.run("install")
        yield Installed(first, second, cloud.calls[before:], cloud.refusals.seen)


def keys_of(deployer: Deployer) -> list[str]:
    """Return the keys in the version of the secret that the receiver's latest revision has."""
    number = environ_of(deployer, "receiver")["ONESTOCK_HASH_KEYS"].rpartition(":")[2]
    version = ("secrets", "versions", "access", number, "--secret=onestock-hash-keys")
    return deployer.gcloud(*version).stdout.strip().split(",")


def follows_the_latest(deployer: Deployer) -> bool:
    """Return whether the receiver's traffic goes to what is deployed next, too."""
    return {"latestRevision": True, "percent": 100} in service_of(deployer, "receiver")["spec"]["traffic"]


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
    assert {call.path.rpartition(":")[2].partition("?")[0] for call in changes} == {"publish", "list"}


def test_the_builds_sources_lie_in_the_region(installed: Installed, cloud: GoogleCloud) -> None:
    assert installed.first.returncode == 0
    sources = [build["source"]["storageSource"] for build in cloud.build.builds.values()]
    bucket = cloud.held["storage", f"b/{cloud.project}-onestock-build"]

    assert {source["bucket"] for source in sources} == {bucket["name"]}
    assert bucket["location"] == "europe-west1"


@pytest.mark.usefixtures("installed")
def test_a_revision_is_tried_then_promoted_then_taken_back(newcomer: Deployer, candidate: Candidate) -> None:
    [first] = traffic_of(newcomer, "receiver")
    candidate.asked.clear()
    newcomer.did("service", "receiver", f"--image={SECOND}")
    before = traffic_of(newcomer, "receiver")
    newcomer.did("smoke")
    newcomer.did("promote", "receiver")
    [second] = traffic_of(newcomer, "receiver")
    was_following = follows_the_latest(newcomer)
    newcomer.did("rollback", "receiver")

    assert before == {first: 100}
    assert candidate.asked == ["GET /health", "POST /webhooks/onestock/smoke_test"]
    assert second != first
    assert was_following
    assert traffic_of(newcomer, "receiver") == {first: 100}
    newcomer.did("promote", "receiver")


@pytest.mark.usefixtures("installed")
def test_a_receiver_that_accepts_unsigned_webhooks_is_not_promoted(newcomer: Deployer, candidate: Candidate) -> None:
    candidate.unsigned = 202

    ended = newcomer.run("smoke")

    candidate.unsigned = 401
    assert ended.returncode == 1
    assert "answered 202 instead of 401 to an unsigned webhook; not promoted" in ended.stderr


@pytest.mark.usefixtures("installed")
def test_a_receiver_that_records_is_asked_nothing_that_it_would_publish(
    newcomer: Deployer, candidate: Candidate
) -> None:
    candidate.asked.clear()

    newcomer.did("smoke", ONESTOCK_SIGNATURE="record")

    assert candidate.asked == ["GET /health"]


@pytest.mark.usefixtures("installed")
def test_a_token_for_another_audience_stops_the_promotion(newcomer: Deployer) -> None:
    email = f"onestock-push@{newcomer.cloud.project}.iam.gserviceaccount.com"
    change = ("pubsub", "subscriptions", "update", "onestock-events-push", f"--push-auth-service-account={email}")
    elsewhere = "--push-auth-token-audience=https://elsewhere.example.com"
    endpoint = "--push-endpoint=https://onestock-worker-123456789012.europe-west1.run.app/pubsub/push"
    newcomer.gcloud(*change, elsewhere, endpoint)

    ended = newcomer.run("smoke", "--within=1")

    newcomer.did("apply", "pubsub")
    assert ended.returncode == 1
    assert "was not handled within 1 s: the worker wrote no line about it; the receiver is not promoted" in ended.stderr
    newcomer.did("smoke", "--within=1")


@pytest.mark.usefixtures("installed")
def test_a_pause_outlives_a_deployment(newcomer: Deployer, cloud: GoogleCloud) -> None:
    paused = "onestock-events-push-paused"
    newcomer.gcloud("pubsub", "topics", "create", paused)
    newcomer.gcloud("pubsub", "subscriptions", "update", "onestock-events-push", "--push-endpoint=")

    changes = newcomer.did("apply", "pubsub")
    smoked = newcomer.run("smoke")

    subscription = f"projects/{cloud.project}/subscriptions/onestock-events-push"
    pushes = requests.get(f"http://{cloud.pubsub_emulator}/v1/{subscription}", timeout=10).json()["pushConfig"]
    newcomer.gcloud("pubsub", "topics", "delete", paused)
    newcomer.did("apply", "pubsub")
    assert (changes, pushes.get("pushEndpoint", "")) == ([], "")
    assert smoked.returncode == 0
    assert "pushes are paused, so no event was tried" in smoked.stdout


@contextmanager
def own_seconds() -> Iterator[Callable[[], float]]:
    """Give what tells the processor time of the commands that ran in the block: it does not depend on other load."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    yield lambda: used() - before


@pytest.mark.usefixtures("installed")
def test_a_new_key_is_in_service_beside_the_old_one_without_a_build(newcomer: Deployer) -> None:
    before, revisions = len(newcomer.cloud.calls), set(newcomer.cloud.run.revisions)
    with own_seconds() as took:
        ended = newcomer.run("rotate-key")
    calls = newcomer.cloud.calls[before:]

    assert ended.returncode == 0, ended.stderr
    # Of the two minutes, one start of a revision and one change of the traffic are Cloud Run's; the rest is left over.
    assert len(set(newcomer.cloud.run.revisions) - revisions) == 1
    assert took() < 60
    new, old = keys_of(newcomer)
    assert (old, len(new) > 30) == ("key-1", True)
    assert not [key for key in (new, old) if key in ended.stdout + ended.stderr]
    assert [(call.api, call.method) for call in calls] == [("secretmanager", "POST"), *[("run", "PUT")] * 2]
    assert follows_the_latest(newcomer)

    newcomer.did("rotate-key", "--finish")
    assert keys_of(newcomer) == [new]


@pytest.mark.usefixtures("installed")
def test_a_restart_deploys_the_image_that_serves(newcomer: Deployer) -> None:
    [before] = traffic_of(newcomer, "worker")

    newcomer.did("restart", "worker")

    [after] = traffic_of(newcomer, "worker")
    revisions = newcomer.cloud.run.revisions
    assert after != before
    assert revisions[after]["spec"]["containers"][0]["image"] == revisions[before]["spec"]["containers"][0]["image"]


@pytest.mark.usefixtures("installed")
def test_a_candidate_that_is_no_longer_the_latest_is_not_promoted(newcomer: Deployer) -> None:
    newcomer.did("service", "receiver", f"--image={FIRST}")
    update = ("run", "services", "update", "onestock-receiver", "--region=europe-west1", "--concurrency=70")
    assert newcomer.gcloud(*update).returncode == 0

    ended = newcomer.run("promote", "receiver")

    assert ended.returncode == 1
    assert "was made after the candidate" in ended.stderr
