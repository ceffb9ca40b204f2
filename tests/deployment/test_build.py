"""What the deploying steps of cloudbuild.yaml do, in another region than the default, behind a load balancer."""

from typing import Any

import pytest

from tests.deployment.conftest import Deployer
from tests.deployment.test_cloudbuild import BUILD, STEPS
from tests.deployment.test_services import Candidate, service_of, traffic_of
from tests.support.google_cloud import NUMBER, GoogleCloud
from tests.support.serving import serving_requests

CHOSEN = {
    "REGION": "europe-west3",
    "REPOSITORY": "relay-images",
    "RECEIVER_INGRESS": "internal-and-cloud-load-balancing",
    "DEAD_LETTER_RETENTION": "7d",  # The emulator's maximum; Pub/Sub's is 31d.
}

INGRESS = "run.googleapis.com/ingress"
# What `apply` does in a build is in test_install.py.
DEPLOYING = [name for name in list(STEPS)[list(STEPS).index("name") :] if name != "apply"]


def built(deployer: Deployer, number: int, *names: str, within: int = 10) -> bool:
    """Run these steps of a build, which knows nothing but its sources, and return whether it succeeded."""
    defaults = BUILD.get("substitutions", {})
    known = {**defaults, "PROJECT_ID": deployer.cloud.project, "PROJECT_NUMBER": NUMBER, "BUILD_ID": f"build-{number}"}
    steps: list[dict[str, Any]] = [dict(STEPS[name]) for name in names]
    for step in steps:
        step["script"] += f" --within={within}" if step["id"] == "smoke" else ""
    return deployer.cloud.build.run(steps, deployer.sources, known)


def serving_image(deployer: Deployer, role: str) -> str:
    [revision] = traffic_of(deployer, role)
    return str(deployer.cloud.run.revisions[revision]["spec"]["containers"][0]["image"])


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    return Candidate()


@pytest.fixture(scope="module")
def twice(deployer: Deployer, cloud: GoogleCloud, candidate: Candidate) -> Deployer:
    """Somebody whose relay was built twice."""
    deployer.keep(**CHOSEN)
    deployer.did("apply", "secrets", "pubsub")
    with serving_requests(cloud.run.front("onestock-receiver", candidate.answer, cloud.callers)) as cloud.run.address:
        for number in (1, 2):
            assert built(deployer, number, *DEPLOYING), cloud.build.said[-1]
    return deployer


@pytest.mark.parametrize("role", ["receiver", "worker"])
def test_a_build_deploys_where_the_kept_file_says_and_nothing_else_names_a_region(twice: Deployer, role: str) -> None:
    service = service_of(twice, role)
    image = service["spec"]["template"]["spec"]["containers"][0]["image"]

    assert service["metadata"]["labels"]["cloud.googleapis.com/location"] == "europe-west3"
    assert image.startswith(f"europe-west3-docker.pkg.dev/{twice.cloud.project}/relay-images/relay@sha256:")


def test_behind_a_load_balancer_the_second_build_is_promoted_too(twice: Deployer, candidate: Candidate) -> None:
    smoked = [said for said in twice.cloud.build.said if said.startswith("smoke:")]

    assert serving_image(twice, "receiver").endswith("2")
    assert service_of(twice, "receiver")["metadata"]["annotations"][INGRESS] == CHOSEN["RECEIVER_INGRESS"]
    assert not candidate.asked
    assert len(smoked) >= 2
    for said in smoked[:2]:
        assert "receiver: not called, since RECEIVER_INGRESS=internal-and-cloud-load-balancing lets nobody in" in said
        assert "worker: handled event" in said


def test_behind_a_load_balancer_a_restart_is_promoted(twice: Deployer) -> None:
    [before] = traffic_of(twice, "receiver")

    changes = twice.did("restart", "receiver")

    [after] = traffic_of(twice, "receiver")
    assert after != before
    assert [(call.api, call.method) for call in changes] == [("run", "PUT")] * 2


def test_a_missing_grant_stops_the_promotion_and_the_revision_before_keeps_the_traffic(twice: Deployer) -> None:
    serving = traffic_of(twice, "receiver")
    before, after = DEPLOYING[: DEPLOYING.index("smoke")], DEPLOYING[DEPLOYING.index("smoke") :]

    deployed = built(twice, 3, *before)
    grants = {key: twice.cloud.policies.pop(key) for key in list(twice.cloud.policies) if key[0] == "run"}
    promoted = built(twice, 3, *after, within=1)
    twice.cloud.policies.update(grants)

    assert (deployed, promoted) == (True, False)
    assert list(grants), "nobody was granted anything"
    assert "the worker wrote no line about it; the receiver is not promoted" in twice.cloud.build.said[-1]
    assert traffic_of(twice, "receiver") == serving
    assert twice.cloud.run.services["onestock-receiver"]["status"]["latestReadyRevisionName"] not in serving
