"""`relay pause` stops the pushes and loses nothing; `relay resume` brings every event, in its order."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from relay.local.emulator import Emulator
from relay.local.services import ROOT, start_service
from tests.support.parts import OneStock, PubSub, Service, Tool, new_pubsub, order_event
from tests.support.serving import Reply, Request, serving_requests
from tests.support.waiting import wait_until

EVENTS = 20
FEWEST_ATTEMPTS = 5  # Pub/Sub's minimum.
LONGEST_BACKOFF_SECONDS = 1


@pytest.fixture
def pubsub(emulator: Emulator, worker_port: int) -> PubSub:
    """Return topics and subscriptions where a few seconds of failing pushes use up all attempts."""
    backoff_seconds = (0, LONGEST_BACKOFF_SECONDS)
    return new_pubsub(emulator, worker_port, backoff_seconds=backoff_seconds, max_delivery_attempts=FEWEST_ATTEMPTS)


@pytest.fixture
def operator(settings: dict[str, str], pubsub: PubSub) -> Tool:
    return Tool({**settings, "PUBSUB_SUBSCRIPTION": pubsub.topology.subscription})


def read(pubsub: PubSub, path: str) -> requests.Response:
    return requests.get(f"http://{pubsub.emulator.host}/v1/{path}", timeout=5)


def subscription(pubsub: PubSub) -> dict[str, Any]:
    found: dict[str, Any] = read(pubsub, pubsub.topology.subscription_path).json()
    return found


def marker(pubsub: PubSub) -> requests.Response:
    return read(pubsub, f"projects/test-relay/topics/{pubsub.topology.subscription}-paused")


def set_push_config(pubsub: PubSub, **config: Any) -> None:
    url = f"http://{pubsub.emulator.host}/v1/{pubsub.topology.subscription_path}:modifyPushConfig"
    requests.post(url, json={"pushConfig": config}, timeout=5).raise_for_status()


@dataclass
class Broken:
    """What takes the pushes while no worker runs, and refuses each."""

    pushes: list[Request] = field(default_factory=list)

    def refuse(self, request: Request) -> Reply:
        """Keep a push and refuse it."""
        self.pushes.append(request)
        return Reply({}, 503)


def test_nothing_is_lost_and_no_attempt_used_up_in_a_pause(
    operator: Tool, onestock: OneStock, settings: dict[str, str], worker_port: int, tmp_path: Path
) -> None:
    broken = Broken()
    with serving_requests(broken.refuse, port=worker_port):
        paused = operator.run("pause", "--reason", "the shop is being repaired")
        answers = [onestock.send(order_event("P-1", step)) for step in range(EVENTS)]
        # As long as all attempts would take, after which the emulator would never push these events again.
        with pytest.raises(AssertionError):
            wait_until(lambda: broken.pushes, within=(FEWEST_ATTEMPTS + 1) * LONGEST_BACKOFF_SECONDS)
    with start_service("worker", port=worker_port, settings=settings, output=tmp_path / "worker.log") as child:
        worker = Service(child, worker_port)
        resumed = operator.run("resume")
        wait_until(lambda: len(worker.canonical("delivery")) == EVENTS, within=30)

    assert (paused.returncode, resumed.returncode) == (0, 0), paused.stderr + resumed.stderr
    assert {answer.status_code for answer in answers} == {202}
    assert "wait for 7 days" in paused.stdout
    assert "the shop is being repaired" in resumed.stdout
    sent = [answer.json()["event_id"] for answer in answers]
    assert [line["event_id"] for line in worker.canonical("delivery")] == sent


def test_resume_puts_the_push_configuration_back_exactly(pubsub: PubSub, operator: Tool) -> None:
    set_push_config(
        pubsub,
        pushEndpoint="http://127.0.0.1:9/pubsub/push",
        attributes={"x-goog-version": "v1"},
        oidcToken={"serviceAccountEmail": "push@test-relay.iam.gserviceaccount.com", "audience": "https://w.example"},
        noWrapper={"writeMetadata": True},
    )
    before = subscription(pubsub)

    operator.run("pause", "--reason", "test")
    meanwhile, labels = subscription(pubsub), marker(pubsub).json()["labels"]
    operator.run("resume")

    assert not meanwhile.get("pushConfig")
    assert labels["paused-since"].startswith("20")
    assert subscription(pubsub) == before
    assert marker(pubsub).status_code == 404


def test_pausing_twice_keeps_the_first_pause(pubsub: PubSub, operator: Tool) -> None:
    before = subscription(pubsub)
    operator.run("pause", "--reason", "first")

    again = operator.run("pause", "--reason", "second")
    operator.run("resume")

    assert again.returncode == 0
    assert "Paused already" in again.stdout
    assert "Reason: first" in again.stdout
    assert subscription(pubsub) == before


def test_a_resume_keeps_an_endpoint_that_somebody_has_set_meanwhile(pubsub: PubSub, operator: Tool) -> None:
    operator.run("pause", "--reason", "test")
    set_push_config(pubsub, pushEndpoint="http://127.0.0.1:9/other")

    resumed = operator.run("resume")

    assert "keeps that endpoint" in resumed.stdout
    assert subscription(pubsub)["pushConfig"] == {"pushEndpoint": "http://127.0.0.1:9/other"}
    assert marker(pubsub).status_code == 404


def test_a_pause_after_one_that_broke_off_remembers_the_endpoint_of_this_moment(pubsub: PubSub, operator: Tool) -> None:
    operator.run("pause", "--reason", "broke off")
    set_push_config(pubsub, pushEndpoint="http://127.0.0.1:9/other")

    operator.run("pause", "--reason", "once more")
    resumed = operator.run("resume")

    assert "once more" in resumed.stdout
    assert subscription(pubsub)["pushConfig"] == {"pushEndpoint": "http://127.0.0.1:9/other"}


def test_what_cannot_be_paused_or_resumed_is_told_in_one_line(pubsub: PubSub, operator: Tool) -> None:
    nothing = operator.run("resume")
    set_push_config(pubsub)
    pulled = operator.run("pause", "--reason", "test")
    missing = Tool({**operator.environ, "PUBSUB_SUBSCRIPTION": "not-there"}).run("pause", "--reason", "test")
    without_reason = operator.run("pause", "--reason", " ")

    assert (nothing.returncode, nothing.stdout.count("\n")) == (0, 1)
    assert (pulled.returncode, len(pulled.stderr.splitlines())) == (1, 1)
    assert (missing.returncode, len(missing.stderr.splitlines())) == (1, 1)
    assert "not-there" in missing.stderr
    assert without_reason.returncode == 2


def test_doctor_says_since_when_and_why_and_its_command_ends_the_pause(pubsub: PubSub, operator: Tool) -> None:
    before = subscription(pubsub)
    operator.run("pause", "--reason", "the shop moves")

    examined = operator.run("doctor", "--json")
    pause = next(finding for finding in json.loads(examined.stdout) if finding["check"] == "pause")
    command = pause["commands"][0]
    environ = {**os.environ, **operator.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", command], cwd=ROOT, env=environ, check=True, capture_output=True, timeout=60)

    assert (examined.returncode, pause["verdict"]) == (1, "bad")
    assert "UTC (the shop moves)" in pause["text"]
    assert subscription(pubsub) == before


def test_pause_and_resume_answer_scripts(operator: Tool, pubsub: PubSub) -> None:
    paused = operator.json("pause", "--reason", "invented")
    again = operator.json("pause", "--reason", "another")
    resumed = operator.json("resume")
    nothing = operator.json("resume")

    since = datetime.fromisoformat(paused["paused_since"])
    assert datetime.fromisoformat(paused["lost_from"]) - since == timedelta(days=7)
    assert (paused["reason"], paused["is_new"]) == ("invented", True)
    assert again == {**paused, "is_new": False}
    endpoint = pubsub.topology.push_endpoint
    assert resumed == {"endpoint": endpoint, "paused_since": paused["paused_since"], "reason": "invented"}
    assert nothing == {"endpoint": endpoint, "paused_since": None, "reason": None}
