"""A replay runs the handlers once more for retained events. The emulator cannot seek: that one request is recorded."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from google.pubsub_v1 import SeekRequest

from relay.local.processes import Child
from tests.support.parts import OneStock, PubSub, Service, Tool, order_event
from tests.support.pubsub_proxy import PUBLISH, SEEK, Forward, PubSubProxy
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until


@dataclass
class Seeks:
    """The seeks that a command asked for; `bring_back` does what each of them would do."""

    proxy: PubSubProxy
    bring_back: Callable[[], None] = lambda: None
    requests: list[SeekRequest] = field(default_factory=list)

    def answer(self, request: bytes, _: Forward) -> bytes:
        self.requests.append(SeekRequest.deserialize(request))
        self.bring_back()
        return b""


@pytest.fixture
def seeks(pubsub: PubSub, tool: Tool) -> Iterator[Seeks]:
    """Give the command alone a Pub/Sub that can seek; the services keep to the emulator."""
    found = Seeks(PubSubProxy(pubsub.emulator.host))
    found.proxy.answers[SEEK] = found.answer
    with found.proxy.running():
        tool.environ = {**tool.environ, "PUBSUB_EMULATOR_HOST": found.proxy.host}
        yield found


def test_a_replay_runs_completed_handlers_again_once_for_each_event(
    seeks: Seeks,
    tool: Tool,
    shop_settings: dict[str, str],
    onestock: OneStock,
    worker: Service,
    ledger: Ledger,
) -> None:
    bodies = [order_event("R-1", 0), order_event("R-1", 1), order_event("R-2", 0)]
    sent = [onestock.send(body).json()["event_id"] for body in bodies]
    wait_until(lambda: len(ledger.steps("done")) == 6)
    # What is published here is in the range: a retained message comes back with the time of its first publishing.
    seeks.bring_back = lambda: send_all(onestock, [*bodies, bodies[0]])

    ended = tool.run("replay", "--since", "2h", "--until", "2099-01-01", "--yes", "--order", "R-1")
    wait_until(lambda: len(ledger.steps("done")) >= 10)

    again = [step.event_id for step in ledger.steps("done")[6:]]
    assert ended.returncode == 0, ended.stderr
    assert "2 events replayed" in ended.stdout
    assert [event_id for event_id in again if event_id not in sent[:2]] == []
    assert sorted(again) == sorted(sent[:2] * 2)
    assert shop_settings["HANDLERS_PACKAGE"] == "tests.support.shop"
    assert not worker.has_logged_an_exception


def test_the_seek_names_a_subscription_of_its_own_and_the_time(seeks: Seeks, tool: Tool, pubsub: PubSub) -> None:
    since = datetime.now(UTC).replace(microsecond=0)

    ended = tool.run("replay", "--since", since.isoformat(), "--event-type", "order_state_changed", "--dry-run")

    counted = tool.json("replay", "--since", since.isoformat(), "--dry-run")
    request = seeks.requests[0]
    assert counted == {"would_be_replayed": 0, "event_types": {}, "broke_off": None}
    assert ended.returncode == 0, ended.stderr
    assert "0 events would be replayed" in ended.stdout
    assert request.time.timestamp() == since.timestamp()
    assert request.subscription.startswith(f"projects/test-relay/subscriptions/{pubsub.topology.topic}-replay-")
    assert subscriptions_of(pubsub) == {pubsub.topology.subscription_path}


def test_ctrl_c_ends_a_replay_which_says_what_it_has_done(
    seeks: Seeks, tool: Tool, onestock: OneStock, tmp_path: Path
) -> None:
    seeks.bring_back = lambda: send_all(onestock, [order_event("R-1", step) for step in range(30)])
    options = ("--since", "2h", "--until", "2099-01-01", "--yes", "--rate", "4", "--json")
    command = [sys.executable, "-m", "relay", "replay", *options]

    with Child("replay", command, environ=tool.environ, output=tmp_path / "out") as child:
        wait_until(lambda: seeks.proxy.calls[PUBLISH] >= 2, within=30)
        child.signal(signal.SIGINT)
        status = child.wait(10)

    text = child.output.read_text()
    told = json.loads(text[text.index("{") :])
    assert (status, told["broke_off"]) == (1, "the command was stopped")
    assert told["replayed"] == seeks.proxy.calls[PUBLISH] < 30
    assert told["event_types"] == {"order_state_changed": told["replayed"]}


def test_the_emulators_missing_seek_is_one_line_and_leaves_no_subscription(tool: Tool, pubsub: PubSub) -> None:
    ended = tool.run("replay", "--since", "1h", "--yes")

    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert ended.stderr.startswith("The Pub/Sub emulator cannot replay.")
    assert "relay rerun EVENT" in ended.stderr
    assert subscriptions_of(pubsub) == {pubsub.topology.subscription_path}


def test_what_the_topic_no_longer_keeps_cannot_be_replayed(tool: Tool) -> None:
    ended = tool.run("replay", "--since", "30d", "--yes")

    assert ended.returncode == 1
    assert "keeps messages for 168 h" in ended.stderr


def send_all(onestock: OneStock, bodies: list[bytes]) -> None:
    for body in bodies:
        onestock.send(body)


def subscriptions_of(pubsub: PubSub) -> set[str]:
    url = f"http://{pubsub.emulator.host}/v1/{pubsub.topology.topic_path}/subscriptions"
    return set(requests.get(url, timeout=10).json()["subscriptions"])
