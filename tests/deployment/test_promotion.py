"""How a revision is tried, promoted and taken back, and what is done at three in the morning, with the real gcloud."""

from collections.abc import Iterator

import pytest
import requests

from tests.deployment.conftest import Deployer
from tests.deployment.test_services import FIRST, SECOND, SETTINGS, Candidate, environ_of, service_of, traffic_of
from tests.support.google_cloud import GoogleCloud
from tests.support.serving import serving_requests

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def candidate(cloud: GoogleCloud) -> Iterator[Candidate]:
    running = Candidate()
    with serving_requests(running.answer) as cloud.run.address:
        yield running


@pytest.fixture(scope="module")
def deployed(deployer: Deployer, candidate: Candidate) -> Deployer:
    assert candidate.health
    deployer.settings = {"DEAD_LETTER_RETENTION": SETTINGS["DEAD_LETTER_RETENTION"]}
    deployer.did("apply", "secrets", "pubsub", ONESTOCK_HASH_KEYS="key-1,key-0")
    for role in ("worker", "receiver"):
        deployer.did("service", role, f"--image={FIRST}")
        deployer.did("promote", role)
    return deployer


def keys_of(deployer: Deployer) -> list[str]:
    """Return the keys in the version of the secret that the receiver's latest revision has."""
    number = environ_of(deployer, "receiver")["ONESTOCK_HASH_KEYS"].rpartition(":")[2]
    version = ("secrets", "versions", "access", number, "--secret=onestock-hash-keys")
    return deployer.gcloud(*version).stdout.strip().split(",")


def follows_the_latest(deployer: Deployer) -> bool:
    """Return whether the receiver's traffic goes to what is deployed next, too."""
    return {"latestRevision": True, "percent": 100} in service_of(deployer, "receiver")["spec"]["traffic"]


def test_a_revision_is_tried_then_promoted_then_taken_back(deployed: Deployer, candidate: Candidate) -> None:
    [first] = traffic_of(deployed, "receiver")
    candidate.asked.clear()
    deployed.did("service", "receiver", f"--image={SECOND}")
    before = traffic_of(deployed, "receiver")
    deployed.did("smoke")
    deployed.did("promote", "receiver")
    [second] = traffic_of(deployed, "receiver")
    was_following = follows_the_latest(deployed)
    deployed.did("rollback", "receiver")

    assert before == {first: 100}
    assert candidate.asked == ["GET /health", "POST /webhooks/onestock/smoke_test"]
    assert second != first
    assert was_following
    assert traffic_of(deployed, "receiver") == {first: 100}
    deployed.did("promote", "receiver")


def test_a_receiver_that_accepts_unsigned_webhooks_is_not_promoted(deployed: Deployer, candidate: Candidate) -> None:
    candidate.unsigned = 202

    ended = deployed.run("smoke")

    candidate.unsigned = 401
    assert ended.returncode == 1
    assert "answered 202 instead of 401 to an unsigned webhook; not promoted" in ended.stderr


def test_a_receiver_that_records_is_asked_nothing_that_it_would_publish(
    deployed: Deployer, candidate: Candidate
) -> None:
    candidate.asked.clear()

    deployed.did("smoke", ONESTOCK_SIGNATURE="record")

    assert candidate.asked == ["GET /health"]


def test_a_token_for_another_audience_stops_the_promotion(deployed: Deployer) -> None:
    email = f"onestock-push@{deployed.cloud.project}.iam.gserviceaccount.com"
    change = ("pubsub", "subscriptions", "update", "onestock-events-push", f"--push-auth-service-account={email}")
    elsewhere = "--push-auth-token-audience=https://elsewhere.example.com"
    endpoint = "--push-endpoint=https://onestock-worker-123456789012.europe-west1.run.app/pubsub/push"
    deployed.gcloud(*change, elsewhere, endpoint)

    ended = deployed.run("smoke", "--within=1")

    deployed.did("apply", "pubsub")
    assert ended.returncode == 1
    assert "was not handled within 1 s: the worker wrote no line about it; the receiver is not promoted" in ended.stderr
    deployed.did("smoke", "--within=1")


def test_a_pause_outlives_a_deployment(deployed: Deployer, cloud: GoogleCloud) -> None:
    paused = "onestock-events-push-paused"
    deployed.gcloud("pubsub", "topics", "create", paused)
    deployed.gcloud("pubsub", "subscriptions", "update", "onestock-events-push", "--push-endpoint=")

    changes = deployed.did("apply", "pubsub")
    smoked = deployed.run("smoke")

    subscription = f"projects/{cloud.project}/subscriptions/onestock-events-push"
    pushes = requests.get(f"http://{cloud.pubsub_emulator}/v1/{subscription}", timeout=10).json()["pushConfig"]
    deployed.gcloud("pubsub", "topics", "delete", paused)
    deployed.did("apply", "pubsub")
    assert (changes, pushes.get("pushEndpoint", "")) == ([], "")
    assert smoked.returncode == 0
    assert "pushes are paused, so no event was tried" in smoked.stdout


def test_a_new_key_is_in_service_beside_the_old_one_without_a_build(deployed: Deployer) -> None:
    before = len(deployed.cloud.calls)
    ended = deployed.run("rotate-key")
    calls = deployed.cloud.calls[before:]

    assert ended.returncode == 0, ended.stderr
    new, old = keys_of(deployed)
    assert (old, len(new) > 30) == ("key-1", True)
    assert not [key for key in (new, old) if key in ended.stdout + ended.stderr]
    assert [(call.api, call.method) for call in calls] == [("secretmanager", "POST"), *[("run", "PUT")] * 2]
    assert follows_the_latest(deployed)

    deployed.did("rotate-key", "--finish")
    assert keys_of(deployed) == [new]


def test_a_restart_deploys_the_image_that_serves(deployed: Deployer) -> None:
    [before] = traffic_of(deployed, "worker")

    deployed.did("restart", "worker")

    [after] = traffic_of(deployed, "worker")
    revisions = deployed.cloud.run.revisions
    assert after != before
    assert revisions[after]["spec"]["containers"][0]["image"] == revisions[before]["spec"]["containers"][0]["image"]


def test_a_candidate_that_is_no_longer_the_latest_is_not_promoted(deployed: Deployer) -> None:
    deployed.did("service", "receiver", f"--image={FIRST}")
    update = ("run", "services", "update", "onestock-receiver", "--region=europe-west1", "--concurrency=70")
    assert deployed.gcloud(*update).returncode == 0

    ended = deployed.run("promote", "receiver")

    assert ended.returncode == 1
    assert "was made after the candidate" in ended.stderr
