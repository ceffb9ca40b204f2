"""A redrive runs what had not succeeded, in sequence within an order, and loses nothing when it fails or is stopped."""

import json
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from google.pubsub_v1 import PublishRequest, PubsubMessage

from relay.local.processes import Child
from tests.support import many_dead_letters
from tests.support.dead_letter_topic import dead_letter, quarantined, send_rejected
from tests.support.parts import OneStock, PubSub, Service, Tool, data_of, order_event
from tests.support.pubsub_proxy import PUBLISH, Forward, PubSubProxy, Refused
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until


def published(request: bytes) -> PubsubMessage:
    message: PubsubMessage = PublishRequest.deserialize(request).messages[0]
    return message


def test_a_limit_of_none_is_refused(tool: Tool) -> None:
    assert tool.run("dead-letters", "redrive", "--limit=0").returncode == 2


def test_a_redrive_runs_what_had_not_succeeded_and_keeps_the_identity(
    onestock: OneStock, rejecting: Service, tool: Tool, ledger: Ledger, pubsub: PubSub
) -> None:
    sent = send_rejected(onestock, rejecting, "D-1", "D-2", "D-3")
    ledger.repaired.touch()

    dry = tool.run("dead-letters", "redrive", "--dry-run")
    redriven = tool.json("dead-letters", "redrive", "--yes")
    wait_until(lambda: len(ledger.done()) == 6)

    assert "6 dead letters to redrive" in dry.stdout
    assert redriven == {"redriven": 6, "stayed": []}
    assert ledger.done() == {(handler, event_id) for handler in ("refund", "archive") for event_id in sent}
    assert len(ledger.steps("done")) == 6
    assert pubsub.dead_letters() == []


def test_what_was_redriven_too_often_stays_with_an_error(pubsub: PubSub, tool: Tool) -> None:
    dead_letter(pubsub, b"{}", event_type="x", redrives="5")

    ended = tool.run("dead-letters", "redrive", "--yes")

    assert ended.returncode == 1
    assert "was redriven 5 times already" in ended.stderr
    assert [data_of(message) for message in pubsub.dead_letters()] == [b"{}"]


def test_each_redrive_is_counted(onestock: OneStock, rejecting: Service, tool: Tool) -> None:
    send_rejected(onestock, rejecting, "D-1")

    tool.json("dead-letters", "redrive", "--yes", "--handler", "refund")
    wait_until(lambda: len(quarantined(rejecting)) >= 2)

    assert 1 in {letter["redrives"] for letter in tool.json("dead-letters", "list")}


def test_a_dead_letter_stays_while_its_event_cannot_be_published(
    pubsub: PubSub, tool: Tool, settings: dict[str, str]
) -> None:
    dead_letter(pubsub, b"{}", event_type="x")
    settings["PUBSUB_TOPIC"] = "no-such-topic"

    ended = tool.run("dead-letters", "redrive", "--yes")

    assert ended.returncode == 1
    assert "Pub/Sub refused to store the event: NotFound" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(tool.json("dead-letters", "list")) == 1


def test_what_pubsub_gave_up_is_redriven_without_its_marks(
    pubsub: PubSub, tool: Tool, onestock: OneStock, worker: Service
) -> None:
    body = b'{"order_id": "D-1", "new_state": "x"}'
    marks = {"CloudPubSubDeadLetterSourceDeliveryCount": "7", "CloudPubSubDeadLetterSourceSubscription": "push"}
    dead_letter(pubsub, body, event_type="order_state_changed", event_id="given-up", **marks)

    listed = tool.json("dead-letters", "list")
    tool.json("dead-letters", "redrive", "--yes")
    wait_until(lambda: "given-up" in worker.handled())

    assert (listed[0]["attempts"], listed[0]["reason"]) == (7, "Pub/Sub gave up after 7 delivery attempts")
    assert onestock.receiver.child.exit_status is None


def test_orders_are_redriven_side_by_side_and_each_in_sequence(pubsub: PubSub, tool: Tool, proxy: PubSubProxy) -> None:
    for step in (3, 1, 2):
        for order in ("D-1", "D-2"):
            at = f"2026-01-01T00:00:0{step}+00:00"
            dead_letter(pubsub, order_event(order), event_type="x", event_id=f"{order}-{step}", received_at=at)
    both = threading.Barrier(2, timeout=10)
    redriven: list[PubsubMessage] = []

    def publish(request: bytes, forward: Forward) -> bytes:
        both.wait()
        redriven.append(published(request))
        return forward(request)

    proxy.answers[PUBLISH] = publish
    ended = tool.run("dead-letters", "redrive", "--yes", "--rate", "0", "--forgotten-too")

    assert ended.returncode == 0, ended.stderr
    for order in ("D-1", "D-2"):
        ids = [message.attributes["event_id"] for message in redriven if message.ordering_key == order]
        assert ids == [f"{order}-{step}" for step in (1, 2, 3)]


def test_many_dead_letters_go_back_in_sequence_though_each_publish_takes_long(
    pubsub: PubSub, settings: dict[str, str], tmp_path: Path
) -> None:
    many_dead_letters.put(pubsub, 400)

    measured = many_dead_letters.redrive(pubsub, settings, tmp_path, publish_seconds=0.1)

    assert measured.exit_status == 0, measured.output
    assert measured.published == {f"M-{n}": [f"M-{n}-0", f"M-{n}-1"] for n in range(200)}
    assert measured.most_at_once > 4


def test_an_event_that_cannot_be_published_holds_back_those_of_its_order_alone(
    pubsub: PubSub, tool: Tool, proxy: PubSubProxy
) -> None:
    names = {dead_letter(pubsub, order_event("D-1"), event_type="x", event_id=f"{n}"): f"{n}" for n in range(3)}
    other = dead_letter(pubsub, order_event("D-2"), event_type="x", event_id="other")

    def publish(request: bytes, forward: Forward) -> bytes:
        if published(request).attributes["event_id"] == "1":
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT)
        return forward(request)

    proxy.answers[PUBLISH] = publish
    ended = tool.run("dead-letters", "redrive", "--yes", "--json")

    stayed = {names[end["id"]]: end["ending"] for end in json.loads(ended.stdout)["stayed"]}
    assert stayed == {"1": "failed", "2": "behind_a_failed_one"}
    assert other not in stayed


def test_ctrl_c_ends_a_redrive_which_says_what_it_has_done(
    pubsub: PubSub, tool: Tool, proxy: PubSubProxy, tmp_path: Path
) -> None:
    sent = {dead_letter(pubsub, order_event(f"D-{number}"), event_type="x") for number in range(30)}
    command = [sys.executable, "-m", "relay", "dead-letters", "redrive", "--yes", "--rate", "5"]

    with Child("redrive", command, environ=tool.environ, output=tmp_path / "out") as child:
        wait_until(lambda: proxy.calls[PUBLISH] >= 5, within=30)
        child.signal(signal.SIGINT)
        status = child.wait(10)

    redriven = proxy.calls[PUBLISH]
    assert status == 1
    assert f"{redriven} redriven, {30 - redriven} not" in child.output.read_text()
    assert "stopped: the redrive was stopped before it" in child.output.read_text()
    left = {letter["id"] for letter in tool.json("dead-letters", "list")}
    assert (len(left), left <= sent) == (30 - redriven, True)


def test_an_event_older_than_the_memory_is_redriven_only_on_purpose(
    pubsub: PubSub, tool: Tool, proxy: PubSubProxy
) -> None:
    received_at = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    dead_letter(pubsub, b"{}", event_type="x", received_at=received_at, dead_letter_handler="refund")
    redriven: list[PubsubMessage] = []

    def publish(request: bytes, forward: Forward) -> bytes:
        redriven.append(published(request))
        return forward(request)

    proxy.answers[PUBLISH] = publish
    refused = tool.run("dead-letters", "redrive", "--yes")
    done = tool.json("dead-letters", "redrive", "--yes", "--forgotten-too")

    assert refused.returncode == 1
    assert "was received 40 days ago" in refused.stderr
    assert "only refund would run" in refused.stderr
    assert done["redriven"] == 1
    assert [message.attributes["only_handler"] for message in redriven] == ["refund"]


def test_nothing_to_redrive_is_no_problem(tool: Tool) -> None:
    assert json.loads(tool.run("dead-letters", "redrive", "--yes", "--json").stdout) == {"redriven": 0, "stayed": []}
