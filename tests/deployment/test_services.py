"""How the two services run on Cloud Run, and how a revision is tried, promoted and taken back, with the real gcloud."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from deploy.wanted.pubsub import ACK_DEADLINE_SECONDS
from relay.settings.receiver import ReceiverSettings
from relay.settings.worker import WorkerSettings
from tests.deployment.conftest import Deployer
from tests.support.google_cloud import GoogleCloud
from tests.support.google_refusals import Call
from tests.support.serving import Reply, Request, serving_requests

IMAGE = "europe-west1-docker.pkg.dev/test-relay/onestock/relay@sha256:"
FIRST, SECOND = IMAGE + "1" * 64, IMAGE + "2" * 64
SETTINGS = {
    "ONESTOCK_API_URL": "https://api.example.com",
    "ONESTOCK_SITE_ID": "a-site",
    "ONESTOCK_USER_ID": "a-user",
    "ONESTOCK_HASH_KEYS": "a-test-hash-key",
    "PUBSUB_ENDPOINT": "europe-west1-pubsub.googleapis.com:443",
    "ONESTOCK_PASSWORD": "a-test-password",
    "WORKER_SETTINGS": "RETENTION_SECONDS=4000000 LOG_CONTENT=off"
    " FORWARD_URLS=order_created=https://a.example.com *=https://b.example.com",
}


@dataclass
class Candidate:
    """A receiver's revision without traffic: what it answers, and what it was asked."""

    health: int = 200
    unsigned: int = 401
    asked: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        self.asked.append(f"{request.method} {request.path}")
        return Reply({}, self.health if request.method == "GET" else self.unsigned)


@pytest.fixture(scope="module")
def candidate(cloud: GoogleCloud) -> Iterator[Candidate]:
    running = Candidate()
    front = cloud.run.front("onestock-receiver", running.answer, cloud.callers)
    with serving_requests(front) as cloud.run.address:
        yield running


@pytest.fixture(scope="module")
def deployed(deployer: Deployer, candidate: Candidate) -> Deployer:
    deployer.settings = SETTINGS
    deployer.did("apply", "secrets")
    for role in ("worker", "receiver"):
        deployer.did("service", role, f"--image={FIRST}")
    assert not candidate.asked
    return deployer


def service_of(deployer: Deployer, role: str) -> dict[str, Any]:
    return deployer.cloud.run.services[f"onestock-{role}"]


def container_of(deployer: Deployer, role: str) -> dict[str, Any]:
    container: dict[str, Any] = service_of(deployer, role)["spec"]["template"]["spec"]["containers"][0]
    return container


def environ_of(deployer: Deployer, role: str) -> dict[str, str]:
    """Return a container's environment; a secret's value is the reference."""
    entries = container_of(deployer, role)["env"]
    references = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in entries if "valueFrom" in each}
    values = {each["name"]: each.get("value", "") for each in entries if "valueFrom" not in each}
    return values | {name: f"{reference['name']}:{reference['key']}" for name, reference in references.items()}


def traffic_of(deployer: Deployer, role: str) -> dict[str, int]:
    """Return what share of the calls each revision gets."""
    targets = service_of(deployer, role)["status"]["traffic"]
    return {each["revisionName"]: each["percent"] for each in targets if each.get("percent")}


@pytest.mark.parametrize("role", ["receiver", "worker"])
def test_a_service_runs_as_the_design_asks_for(deployed: Deployer, role: str) -> None:
    container = container_of(deployed, role)
    spec = service_of(deployed, role)["spec"]["template"]["spec"]
    annotations = service_of(deployed, role)["spec"]["template"]["metadata"]["annotations"]

    assert container["image"] == FIRST
    assert (container["command"], container["args"]) == (["gunicorn"], [f"main:{role}()"])
    assert container["startupProbe"]["httpGet"] == {"path": "/health", "port": 8080}
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": 8080}
    assert annotations["run.googleapis.com/startup-cpu-boost"] == "True"
    assert spec["serviceAccountName"] == f"onestock-{role}@{deployed.cloud.project}.iam.gserviceaccount.com"
    assert spec["containerConcurrency"] == {"receiver": 80, "worker": 16}[role]


def test_the_time_limits_are_in_their_order(deployed: Deployer) -> None:
    receiver = ReceiverSettings.from_environ({**environ_of(deployed, "receiver"), "K_SERVICE": "receiver"})
    signing = {"DESTINATION_SECRETS": f"whsec_{base64.b64encode(b'made-for-this-test-of-deployment').decode()}"}
    worker = WorkerSettings.from_environ({**environ_of(deployed, "worker"), **signing, "K_SERVICE": "worker"})
    timeouts = {
        role: service_of(deployed, role)["spec"]["template"]["spec"]["timeoutSeconds"]
        for role in ("receiver", "worker")
    }

    assert receiver.publish_budget_seconds < timeouts["receiver"] <= 15
    assert worker.handler_budget_seconds < timeouts["worker"] <= ACK_DEADLINE_SECONDS
    assert worker.ack_deadline_seconds == ACK_DEADLINE_SECONDS < worker.lease_seconds


def test_a_liveness_probe_always_finds_a_thread(deployed: Deployer) -> None:
    concurrency = service_of(deployed, "worker")["spec"]["template"]["spec"]["containerConcurrency"]

    assert int(environ_of(deployed, "worker")["WORKER_THREADS"]) > concurrency


def test_the_receiver_always_runs_and_the_worker_is_private(deployed: Deployer) -> None:
    receiver, worker = (service_of(deployed, role)["metadata"]["annotations"] for role in ("receiver", "worker"))
    callers = {
        path.rpartition("/")[2]: [member for binding in policy["bindings"] for member in binding["members"]]
        for (api, path), policy in deployed.cloud.policies.items()
        if api == "run"
    }

    assert receiver["run.googleapis.com/minScale"] == "1"
    assert (receiver["run.googleapis.com/ingress"], worker["run.googleapis.com/ingress"]) == ("all", "internal")
    assert receiver["run.googleapis.com/invoker-iam-disabled"].lower() == "true"
    assert worker.get("run.googleapis.com/invoker-iam-disabled", "false").lower() == "false"
    push = f"serviceAccount:onestock-push@{deployed.cloud.project}.iam.gserviceaccount.com"
    assert callers == {"onestock-worker": [push]}


def test_cloud_run_checks_the_pushes_and_log_lines_are_redacted(deployed: Deployer) -> None:
    assert environ_of(deployed, "worker")["PUSH_AUTH"] == "iam"
    assert environ_of(deployed, "receiver")["LOG_CONTENT"] == "redacted"


def test_both_services_use_the_regional_endpoint_of_pubsub(deployed: Deployer) -> None:
    endpoints = [environ_of(deployed, role)["PUBSUB_ENDPOINT"] for role in ("receiver", "worker")]

    assert endpoints == [SETTINGS["PUBSUB_ENDPOINT"]] * 2


def test_the_receiver_has_a_thread_for_each_webhook_and_more_for_the_probes(deployed: Deployer) -> None:
    environ = environ_of(deployed, "receiver")

    assert (environ["MAX_WAITING_PUBLISHES"], environ["RECEIVER_THREADS"]) == ("80", "96")


def test_secrets_are_references_to_one_version(deployed: Deployer) -> None:
    references = environ_of(deployed, "receiver") | environ_of(deployed, "worker")

    assert (
        references.items()
        >= {
            "ONESTOCK_HASH_KEYS": "onestock-hash-keys:1",
            "ONESTOCK_PASSWORD": "onestock-password:1",
        }.items()
    )
    assert "a-test-" not in str(deployed.cloud.run.services)


def test_the_worker_takes_further_settings(deployed: Deployer) -> None:
    environ = environ_of(deployed, "worker")

    assert (environ["RETENTION_SECONDS"], environ["LOG_CONTENT"]) == ("4000000", "off")
    assert environ["FORWARD_URLS"] == "order_created=https://a.example.com *=https://b.example.com"
    assert environ["ONESTOCK_SITE_ID"] == "a-site"


def test_an_image_is_named_by_its_digest(deployed: Deployer) -> None:
    ended = deployed.run("service", "worker", "--image=relay:latest")

    assert ended.returncode == 2
    assert ended.stderr == "relay:latest: name the image by its digest, NAME@sha256:...\n"


@pytest.mark.parametrize(
    ("access", "is_unchecked", "callers"), [("all-users", "false", {"allUsers"}), ("no-iam-check", "true", set())]
)
def test_the_receiver_is_public_in_the_way_that_was_chosen(
    deployed: Deployer, candidate: Candidate, access: str, is_unchecked: str, callers: set[str]
) -> None:
    deployed.cloud.refusals.refuses_public = False

    deployed.did("service", "receiver", f"--image={FIRST}", RECEIVER_ACCESS=access)

    candidate.asked.clear()
    answered = requests.get(f"{deployed.cloud.run.address}/health", timeout=10)
    granted = deployed.cloud.callers("onestock-receiver")
    deployed.cloud.refusals.refuses_public = True
    forget_callers(deployed, "onestock-receiver")
    annotations = service_of(deployed, "receiver")["metadata"]["annotations"]
    assert annotations["run.googleapis.com/invoker-iam-disabled"].lower() == is_unchecked
    assert granted == callers
    assert (answered.status_code, candidate.asked) == (200, ["GET /health"])


@pytest.mark.parametrize("service", ["onestock-receiver", "first-receiver"])
def test_where_the_organisation_refuses_all_users_it_is_said_and_what_serves_stays_public(
    deployed: Deployer, service: str
) -> None:
    before = deployed.cloud.run.services.get(service)

    ended = deployed.run(
        "service", "receiver", f"--image={SECOND}", RECEIVER_ACCESS="all-users", RECEIVER_SERVICE=service
    )

    after = deployed.cloud.run.services[service]
    assert ended.returncode == 1
    assert "do not belong to a permitted customer" in ended.stderr
    assert ended.stderr.endswith("where allUsers is refused, set RECEIVER_ACCESS=no-iam-check\n")
    assert before in (after, None)


def test_each_deployment_turns_the_workers_invoker_check_on(deployed: Deployer) -> None:
    unchecked = "run.googleapis.com/invoker-iam-disabled"
    service_of(deployed, "worker")["metadata"]["annotations"][unchecked] = "true"

    deployed.did("service", "worker", f"--image={FIRST}")

    assert service_of(deployed, "worker")["metadata"]["annotations"].get(unchecked, "false").lower() == "false"


def test_a_rollback_is_one_change_and_a_restart_is_two(deployed: Deployer) -> None:
    [first] = traffic_of(deployed, "receiver")
    deployed.did("service", "receiver", f"--image={SECOND}")
    deployed.did("promote", "receiver")
    [second] = traffic_of(deployed, "receiver")

    [rollback] = deployed.did("rollback", "receiver")
    deploy, promote = deployed.did("restart", "receiver")

    path = f"apis/serving.knative.dev/v1/namespaces/{deployed.cloud.project}/services/onestock-receiver"
    assert {(call.api, call.method, call.path) for call in (rollback, deploy, promote)} == {("run", "PUT", path)}
    assert first != second
    assert shares(rollback) == shares(deploy) == {first: 100}
    assert shares(promote) == {"": 100}
    assert image_of(deploy) == image_of(promote) == FIRST


def shares(change: Call) -> dict[str, int]:
    """Return what share of the calls a change gives to each revision; "" is the latest."""
    targets = change.body["spec"]["traffic"]
    return {each.get("revisionName", ""): each["percent"] for each in targets if each.get("percent")}


def image_of(change: Call) -> str:
    return str(change.body["spec"]["template"]["spec"]["containers"][0]["image"])


def forget_callers(deployer: Deployer, service: str) -> None:
    for key in [key for key in deployer.cloud.policies if key[1].endswith(f"/services/{service}")]:
        del deployer.cloud.policies[key]
