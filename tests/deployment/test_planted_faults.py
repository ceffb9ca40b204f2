"""Faults planted into a correct installation: doctor names each, its commands mend it, and then doctor is good.

deploy/ makes the installation, and the real gcloud runs the commands, against the Google of tests/support.
"""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession

from relay.cli.doctor import doctor
from relay.doctor.cloud import GOOGLE, Cloud
from relay.local.emulator import Emulator
from tests.deployment.conftest import Deployer, somebody
from tests.support.examined_cloud import INVOKER_CHECK_IS_OFF, ExaminedCloud, FromOutside
from tests.support.google_cloud import NUMBER

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
IMAGE = f"europe-west1-docker.pkg.dev/p/onestock/relay@sha256:{'a' * 64}"
ADDRESS = "on-call@example.com"
SETTINGS = {
    "ONESTOCK_HASH_KEYS": "a-hash-key-made-for-this-test",
    "ALERT_EMAIL": ADDRESS,
}
AGENT = f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"


@dataclass
class Installation:
    """A relay that deploy/ has made, and a person who examines it and mends it."""

    cloud: ExaminedCloud
    deployer: Deployer

    def examine(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        """Return doctor's exit status and findings."""
        stranger = requests.Session()
        stranger.mount("https://", FromOutside(self.cloud))
        urls = {api: f"{self.cloud.url}/{api}/{url.rpartition('/')[2]}" for api, url in GOOGLE.items()}
        apis = Cloud(AuthorizedSession(AnonymousCredentials()), urls, stranger=stranger)
        environ = {"GOOGLE_CLOUD_PROJECT": self.cloud.project, "PUBSUB_EMULATOR_HOST": None}
        ended = CliRunner().invoke(doctor, ["--json", *arguments], obj=apis, env=environ)
        return ended.exit_code, json.loads(ended.output)

    def run(self, command: str) -> None:
        """Run a command as doctor prints it; who mends alerts puts in an address."""
        environ = self.cloud.environ(self.deployer.home)
        environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
        environ["PUBSUB_EMULATOR_HOST"] = self.cloud.pubsub_emulator
        words = ["bash", "-c", command.replace("YOUR-ADDRESS", ADDRESS)]
        folder = self.deployer.sources
        ended = subprocess.run(words, env=environ, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
        assert ended.returncode == 0, f"{command}: {ended.stderr}"

    def set(self, service: str, **variables: str) -> None:
        """Set environment variables as somebody did earlier, in the template and in the revision that serves."""
        written = self.cloud.run.services[service]
        revision = self.cloud.run.revisions[written["status"]["latestReadyRevisionName"]]
        for spec in (written["spec"]["template"]["spec"], revision["spec"]):
            others = [each for each in spec["containers"][0]["env"] if each["name"] not in variables]
            spec["containers"][0]["env"] = [*others, *({"name": name, "value": variables[name]} for name in variables)]

    def annotate(self, service: str, name: str, value: str) -> None:
        self.cloud.run.services[service]["metadata"].setdefault("annotations", {})[name] = value

    def pin(self, service: str) -> None:
        """Send all traffic to the revision by its name."""
        written = self.cloud.run.services[service]
        target = {"revisionName": written["status"]["latestReadyRevisionName"], "percent": 100}
        written["spec"]["traffic"] = written["status"]["traffic"] = [target]

    def pushes(self, **config: Any) -> None:
        """Change the push configuration."""
        path = f"{self._pubsub}/subscriptions/onestock-events-push"
        pushed = requests.get(path, timeout=10).json()["pushConfig"] | config
        requests.post(f"{path}:modifyPushConfig", json={"pushConfig": pushed}, timeout=10).raise_for_status()

    def delete(self, path: str) -> None:
        requests.delete(f"{self._pubsub}/{path}", timeout=10).raise_for_status()

    @property
    def _pubsub(self) -> str:
        return f"http://{self.cloud.pubsub_emulator}/v1/projects/{self.cloud.project}"


@pytest.fixture(scope="module")
def cloud(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExaminedCloud]:
    project = f"test-{uuid.uuid4().hex[:8]}"
    examined = ExaminedCloud(project, emulator.host)
    with examined.running(tmp_path_factory.mktemp("builds")):
        yield examined


@pytest.fixture(scope="module")
def installed(cloud: ExaminedCloud, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    deployer = somebody(cloud, tmp_path_factory)
    cloud.prepare()
    deployer.keep(**{name: value for name, value in SETTINGS.items() if name != "ONESTOCK_HASH_KEYS"})
    deployer.did("apply", "pubsub", "secrets", "store", "watch", **SETTINGS)
    for role in ("worker", "receiver"):
        deployer.did("service", role, f"--image={IMAGE}")
        deployer.did("promote", role)
    return Installation(cloud, deployer)


@pytest.fixture
def installation(installed: Installation) -> Installation:
    """Return the installation, which the tests before have left as it must be."""
    assert bad(installed.examine()[1]) == {}
    return installed


def bad(findings: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the commands for each check that is bad."""
    return {finding["check"]: finding["commands"] for finding in findings if finding["verdict"] == "bad"}


def no_agent(it: Installation) -> None:
    policy = it.cloud.policies["pubsub", f"projects/{it.cloud.project}/topics/onestock-dead-letters"]
    for binding in policy["bindings"]:
        binding["members"] = [member for member in binding["members"] if member != AGENT]


def no_channel(it: Installation) -> None:
    for (api, path), resource in list(it.cloud.held.items()):
        if api == "monitoring" and "/notificationChannels/" in path:
            del it.cloud.held[api, path]
        if api == "monitoring" and "/alertPolicies/" in path:
            resource["notificationChannels"] = []


def everybody_may_push(it: Installation) -> None:
    policy = it.cloud.policies["run", it.cloud.services_path("onestock-worker")]
    policy["bindings"][0]["members"].append("allUsers")


def pinned_with_a_wrong_setting(it: Installation) -> None:
    it.pin("onestock-worker")
    it.set("onestock-worker", IDEMPOTENCY_STORE="memory")


def expiring(it: Installation) -> None:
    path = f"projects/{it.cloud.project}/subscriptions/onestock-events-push"
    it.cloud.expirations[path] = {"ttl": "2678400s"}


def private_receiver(it: Installation) -> None:
    it.annotate("onestock-receiver", INVOKER_CHECK_IS_OFF, "false")
    it.cloud.policies.pop(("run", it.cloud.services_path("onestock-receiver")), None)


def paused_with_a_wrong_identity(it: Installation) -> None:
    it.pushes(oidcToken={"serviceAccountEmail": "x@example.com", "audience": it.cloud.url_of("onestock-worker")})
    it.run("relay pause --reason 'a planned repair'")


FAULTS: dict[str, tuple[Callable[[Installation], object], set[str]]] = {
    "traffic is pinned": (lambda it: it.pin("onestock-receiver"), {"receiver's traffic"}),
    "a wrong setting in a pinned revision": (pinned_with_a_wrong_setting, {"worker's traffic", "store"}),
    "no grant for Pub/Sub's agent": (no_agent, {"dead-letter publisher"}),
    "the channel is gone": (no_channel, {"alerts"}),
    "oidc behind the invoker check": (lambda it: it.set("onestock-worker", PUSH_AUTH="oidc"), {"invoker check"}),
    "the invoker check is off": (
        lambda it: it.annotate("onestock-worker", INVOKER_CHECK_IS_OFF, "true"),
        {"invoker check"},
    ),
    "everybody may push": (everybody_may_push, {"invoker check"}),
    "runs are forgotten before the dead letters": (
        lambda it: it.set("onestock-worker", RETENTION_SECONDS="691200"),
        {"memory of runs"},
    ),
    "the subscription expires": (expiring, {"expiry"}),
    "tokens for another audience": (
        lambda it: it.pushes(oidcToken={"serviceAccountEmail": "x@example.com", "audience": "https://x.example.com"}),
        {"push audience", "push identity"},
    ),
    "pushes go elsewhere": (
        lambda it: it.pushes(pushEndpoint="https://old.example.com/pubsub/push"),
        {"push endpoint"},
    ),
    "nobody keeps the dead letters": (
        lambda it: it.delete("subscriptions/onestock-dead-letters-pull"),
        {"dead-letter subscription"},
    ),
    "the pushes are paused": (
        lambda it: it.run("relay pause --reason 'a planned repair'"),
        {"pause"},
    ),
    "paused with a wrong identity": (paused_with_a_wrong_identity, {"pause", "push identity"}),
    "OneStock may not call the receiver": (private_receiver, {"OneStock may call receiver"}),
}


def test_a_correct_installation_is_good_in_every_check(installed: Installation) -> None:
    status, findings = installed.examine()
    strict, _ = installed.examine("--strict")

    unknown = {finding["check"]: finding["text"] for finding in findings if finding["verdict"] == "unknown"}
    assert (bad(findings), unknown) == ({}, {})
    assert (status, strict) == (0, 0)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_and_its_commands_mend_it(name: str, installation: Installation) -> None:
    plant, checks = FAULTS[name]
    plant(installation)

    status, findings = installation.examine()
    for command in dict.fromkeys(command for commands in bad(findings).values() for command in commands):
        installation.run(command)
    status_after, after = installation.examine()

    assert (status, set(bad(findings))) == (1, checks)
    assert all(bad(findings).values())
    assert (status_after, bad(after)) == (0, {})


def test_what_doctor_mends_the_next_apply_leaves_as_it_is(installation: Installation) -> None:
    plant, _ = FAULTS["nobody keeps the dead letters"]
    plant(installation)

    _, findings = installation.examine()
    for [command] in bad(findings).values():
        installation.run(command)

    assert installation.deployer.did("apply", "pubsub") == []


def test_in_a_pause_a_command_that_would_end_it_comes_after_resume_and_says_so(installation: Installation) -> None:
    paused_with_a_wrong_identity(installation)

    _, findings = installation.examine()
    [identity] = [finding for finding in findings if finding["check"] == "push identity"]
    [resume] = bad(findings)["pause"]
    for command in identity["commands"]:
        installation.run(command)

    assert identity["commands"][0] == resume
    assert identity["text"].endswith("; its command ends the pause, so resume first")
    assert bad(installation.examine()[1]) == {}


def test_the_other_address_of_the_worker_is_no_fault(installation: Installation) -> None:
    other = installation.cloud.run.services["onestock-worker"]["status"]["url"]
    installation.pushes(pushEndpoint=f"{other}/pubsub/push")

    status, findings = installation.examine()

    assert other != installation.cloud.url_of("onestock-worker")
    assert (status, bad(findings)) == (0, {})
