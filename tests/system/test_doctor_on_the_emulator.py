"""`relay doctor` finds what is set up wrong, names it, and says what mends it; what it cannot see is never good."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from relay.doctor.cloud import Cloud
from relay.doctor.examination import examine
from relay.doctor.findings import Finding, Verdict
from relay.local.emulator import Emulator
from relay.settings.doctor import DoctorSettings
from tests.support.parts import PubSub, Service, Tool, new_pubsub
from tests.support.ports import free_port

Spoil = Callable[["Emulated"], None]


@pytest.fixture
def pubsub(emulator: Emulator, worker_port: int) -> PubSub:
    """Return topics and subscriptions as production has them."""
    return new_pubsub(emulator, worker_port, backoff_seconds=(10, 600))


@dataclasses.dataclass
class Emulated:
    """A relay on the emulator, and the environment of whoever looks at it."""

    pubsub: PubSub
    environ: dict[str, str]

    def examine(self, *, ahead_seconds: float = 0) -> list[Finding]:
        """Examine it with a clock that is ahead."""
        urls = {"pubsub": f"http://{self.pubsub.emulator.host}/v1"}
        if "FIRESTORE_EMULATOR_HOST" in self.environ:
            urls["firestore"] = f"http://{self.environ['FIRESTORE_EMULATOR_HOST']}/v1"
        cloud = Cloud(requests.Session(), urls, now=lambda: time.time() + ahead_seconds)
        return examine(cloud, DoctorSettings.from_environ(self.environ), self.environ)

    def change(self, path: str, **fields: Any) -> None:
        """Make a resource anew with other fields; None leaves one out."""
        url = f"http://{self.pubsub.emulator.host}/v1/{path}"
        resource = {**requests.get(url, timeout=5).json(), **fields}
        self.remove(path)
        wanted = {key: value for key, value in resource.items() if value is not None and key != "name"}
        requests.put(url, json=wanted, timeout=5).raise_for_status()

    def patch(self, path: str, **fields: str) -> None:
        """Change a topic as it is."""
        body = {"topic": {"name": path, **fields}, "updateMask": ",".join(fields)}
        requests.patch(f"http://{self.pubsub.emulator.host}/v1/{path}", json=body, timeout=5).raise_for_status()

    def remove(self, path: str) -> None:
        requests.delete(f"http://{self.pubsub.emulator.host}/v1/{path}", timeout=5).raise_for_status()


@pytest.fixture
def emulated(pubsub: PubSub, settings: dict[str, str], worker_port: int) -> Emulated:
    place = {"PUBSUB_SUBSCRIPTION": pubsub.topology.subscription, "WORKER_URL": f"http://127.0.0.1:{worker_port}"}
    return Emulated(pubsub, settings | place)


def bad_checks(findings: list[Finding]) -> set[str]:
    return {finding.check for finding in findings if finding.verdict is Verdict.BAD}


def topic(emulated: Emulated) -> str:
    return emulated.pubsub.topology.topic_path


def dead_letters(emulated: Emulated) -> str:
    return emulated.pubsub.topology.dead_letter_topic_path


def push(emulated: Emulated) -> str:
    return emulated.pubsub.topology.subscription_path


def pull(emulated: Emulated) -> str:
    return emulated.pubsub.topology.dead_letter_subscription_path


ON_THE_EMULATOR: dict[str, tuple[Spoil, set[str]]] = {
    "topic missing": (lambda it: it.remove(topic(it)), {"topic", "topic subscribed", "subscription's topic"}),
    "topic keeps nothing": (lambda it: it.patch(topic(it), messageRetentionDuration="600s"), {"topic retention"}),
    "nobody subscribed": (lambda it: it.remove(push(it)), {"topic subscribed", "subscription"}),
    "subscribed to another topic": (
        lambda it: it.change(push(it), topic=dead_letters(it)),
        {"topic subscribed", "subscription's topic"},
    ),
    "pushes elsewhere": (
        lambda it: it.change(push(it), pushConfig={"pushEndpoint": "http://127.0.0.1:9/pubsub/push"}),
        {"push endpoint"},
    ),
    "does not push": (lambda it: it.change(push(it), pushConfig=None), {"push endpoint"}),
    "ack deadline of 10 s": (lambda it: it.change(push(it), ackDeadlineSeconds=10), {"ack deadline", "limits"}),
    "no back-off": (lambda it: it.change(push(it), retryPolicy=None), {"back-off", "delivery attempts"}),
    "back-off too short": (
        lambda it: it.change(push(it), retryPolicy={"minimumBackoff": "0s", "maximumBackoff": "60s"}),
        {"back-off", "delivery attempts"},
    ),
    "subscription expires": (lambda it: it.change(push(it), expirationPolicy={"ttl": "86400s"}), {"expiry"}),
    "unordered": (lambda it: it.change(push(it), enableMessageOrdering=None), {"ordering"}),
    "filtered": (lambda it: it.change(push(it), filter='attributes.event_type = "x"'), {"filter"}),
    "keeps for ten minutes": (lambda it: it.change(push(it), messageRetentionDuration="600s"), {"retention"}),
    "no dead-letter policy": (lambda it: it.change(push(it), deadLetterPolicy=None), {"dead-letter policy"}),
    "dead letters go back to the topic": (
        lambda it: it.change(push(it), deadLetterPolicy={"deadLetterTopic": topic(it), "maxDeliveryAttempts": 100}),
        {"dead-letter policy"},
    ),
    "five attempts": (
        lambda it: it.change(
            push(it), deadLetterPolicy={"deadLetterTopic": dead_letters(it), "maxDeliveryAttempts": 5}
        ),
        {"delivery attempts"},
    ),
    "nobody keeps dead letters": (lambda it: it.remove(pull(it)), {"dead-letter subscription"}),
    "another topic's dead letters": (lambda it: it.change(pull(it), topic=topic(it)), {"dead letters kept"}),
    "dead letters are pushed": (
        lambda it: it.change(pull(it), pushConfig={"pushEndpoint": "http://127.0.0.1:9/"}),
        {"dead letters kept"},
    ),
    "dead letters expire": (
        lambda it: it.change(pull(it), expirationPolicy={"ttl": "2678400s"}),
        {"dead-letter expiry"},
    ),
    "dead letters for an hour": (
        lambda it: it.change(pull(it), messageRetentionDuration="3600s"),
        {"dead-letter retention"},
    ),
}

IN_THE_ENVIRONMENT: dict[str, tuple[dict[str, str], set[str]]] = {
    "no hash key": ({"ONESTOCK_HASH_KEYS": " "}, {"hash keys"}),
    "a quoted hash key": ({"ONESTOCK_HASH_KEYS": '"test-key"'}, {"hash keys"}),
    "the example's hash key": ({"ONESTOCK_HASH_KEYS": "test-key-made-for-this-file"}, {"hash keys"}),
    "one hash key twice": ({"ONESTOCK_HASH_KEYS": "test-key,test-key"}, {"hash keys"}),
    "budget above the deadline": ({"HANDLER_BUDGET_SECONDS": "600"}, {"limits"}),
    "lease below the deadline": ({"LEASE_SECONDS": "300"}, {"limits"}),
    "another deadline believed": ({"ACK_DEADLINE_SECONDS": "120"}, {"limits"}),
    "a memory shorter than the retentions": ({"RETENTION_SECONDS": "691200"}, {"memory of runs"}),
    "a limit that is no number": ({"LEASE_SECONDS": "long"}, {"limits"}),
    "nobody to authenticate": ({"PUSH_AUTH": "sometimes"}, {"worker's settings"}),
    "a wrong signed string": ({"ONESTOCK_SIGNED_STRING": "body"}, {"receiver's settings"}),
    "no store": (
        {"IDEMPOTENCY_STORE": "firestore", "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1"},
        {"store"},
    ),
    "no receiver": ({"RECEIVER_URL": "http://127.0.0.1:1"}, {"receiver answers"}),
    "an unauthenticated push": (
        {"PUSH_AUTH": "oidc", "PUSH_AUDIENCE": "x", "PUSH_SERVICE_ACCOUNT": "a@example.com"},
        {"push identity", "push audience"},
    ),
}


@pytest.mark.parametrize("name", ON_THE_EMULATOR)
def test_what_is_wrong_on_the_emulator_is_found_and_nothing_else(name: str, emulated: Emulated) -> None:
    spoil, expected = ON_THE_EMULATOR[name]
    healthy = bad_checks(emulated.examine())
    spoil(emulated)

    found = bad_checks(emulated.examine())

    # The worker does not run here: its health has a test of its own.
    assert healthy == {"worker answers"}
    assert found - healthy == expected


@pytest.mark.parametrize("name", IN_THE_ENVIRONMENT)
def test_a_wrong_setting_is_found_and_nothing_else(name: str, emulated: Emulated) -> None:
    changes, expected = IN_THE_ENVIRONMENT[name]
    emulated.environ.update(changes)

    findings = emulated.examine()

    assert bad_checks(findings) - {"worker answers"} == expected
    assert "test-key" not in repr(findings)


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (
            lambda it: it.change(push(it), pushConfig={"pushEndpoint": "http://127.0.0.1:9/pubsub/push"}),
            "push endpoint",
        ),
        (lambda it: it.change(push(it), enableMessageOrdering=None), "ordering"),
    ],
)
def test_in_a_pause_a_command_that_would_end_it_comes_after_resume_and_says_so(
    spoil: Spoil, check: str, emulated: Emulated
) -> None:
    spoil(emulated)
    Tool(emulated.environ).run("pause", "--reason", "invented")

    bad = {finding.check: finding for finding in emulated.examine() if finding.verdict is Verdict.BAD}

    assert set(bad) == {"worker answers", "pause", check}
    assert bad[check].commands[0] == bad["pause"].commands[0]
    assert bad[check].text.endswith("; its command ends the pause, so resume first")


def test_a_relay_that_runs_is_good_and_the_doctor_says_so_by_its_exit_status(
    emulated: Emulated, receiver: Service, worker: Service
) -> None:
    emulated.environ["RECEIVER_URL"] = f"http://127.0.0.1:{receiver.port}"
    tool = Tool(emulated.environ)

    findings = tool.json("doctor")
    text = tool.run("doctor")
    strict = tool.run("doctor", "--strict")

    assert {finding["verdict"] for finding in findings} == {"good", "unknown"}
    assert {"worker answers", "receiver answers", "clocks"} <= {f["check"] for f in findings if f["verdict"] == "good"}
    assert len(text.stdout.splitlines()) == len(findings) + 1
    assert (text.returncode, strict.returncode) == (0, 1)
    assert worker.child.exit_status is None


def test_what_is_bad_is_printed_with_its_command_and_is_exit_status_1(emulated: Emulated) -> None:
    emulated.change(push(emulated), ackDeadlineSeconds=10)

    ended = Tool(emulated.environ).run("doctor")

    name = emulated.pubsub.topology.subscription
    assert ended.returncode == 1
    assert f"$ gcloud pubsub subscriptions update {name} --project=test-relay --ack-deadline=600" in ended.stdout


def test_clocks_that_disagree_are_found(emulated: Emulated, receiver: Service) -> None:
    emulated.environ["RECEIVER_URL"] = f"http://127.0.0.1:{receiver.port}"

    assert "clocks" in bad_checks(emulated.examine(ahead_seconds=60))
    assert "clocks" not in bad_checks(emulated.examine())


def test_an_emulator_that_does_not_answer_is_no_good_health(emulated: Emulated) -> None:
    host = emulated.environ["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{free_port()}"

    ended = Tool(emulated.environ).run("doctor")

    assert ended.returncode == 1
    told = f"the Pub/Sub emulator at {host} does not answer (ConnectionError): start it, or unset PUBSUB_EMULATOR_HOST"
    assert told in ended.stdout
    assert ended.stdout.count("does not answer") == 1 + len(["worker answers"])
    assert "Traceback" not in ended.stderr


def test_without_credentials_it_says_how_to_log_in() -> None:
    # Else Google's library asks the network whether this is a machine of theirs.
    offline = {"HOME": "/nonexistent", "NO_GCE_CHECK": "true", "GOOGLE_CLOUD_PROJECT": "test-relay"}

    ended = Tool(offline).run("doctor")

    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "gcloud auth application-default login" in ended.stderr


def test_wrong_use_is_exit_status_2_and_one_line() -> None:
    nowhere = Tool({"HOME": "/nonexistent"}).run("doctor")

    assert (nowhere.returncode, len(nowhere.stderr.splitlines())) == (2, 1)
    assert "GOOGLE_CLOUD_PROJECT" in nowhere.stderr
