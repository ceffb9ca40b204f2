"""The person on call sees what nobody could handle, brings it back or removes it, and loses nothing meanwhile."""

import base64
import json
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import requests
from google.pubsub_v1 import PublishRequest, PubsubMessage

from relay.local.processes import Child
from tests.support import many_dead_letters
from tests.support.parts import OneStock, PubSub, Service, Tool, data_of, order_event
from tests.support.pubsub_proxy import ACKNOWLEDGE, PUBLISH, PULL, Forward, PubSubProxy, Refused
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until


@pytest.fixture
def rejecting(shop_settings: dict[str, str], worker: Service) -> Service:
    """Return a worker whose handlers reject orders marked so, until the shop is repaired."""
    assert shop_settings["HANDLERS_PACKAGE"] == "tests.support.shop"
    return worker


def send_rejected(onestock: OneStock, worker: Service, *order_ids: str) -> list[str]:
    sent = [onestock.send(order_event(order_id, reject=True)).json()["event_id"] for order_id in order_ids]
    wait_until(lambda: len(quarantined(worker)) >= len(sent))
    return sent


def quarantined(worker: Service) -> list[str]:
    return [line["event_id"] for line in worker.canonical("delivery") if line["outcome"] == "quarantined"]


@pytest.fixture
def proxy(pubsub: PubSub, tool: Tool) -> Iterator[PubSubProxy]:
    """Give the command alone a Pub/Sub that a test can let fail."""
    with PubSubProxy(pubsub.emulator.host).running() as running:
        tool.environ = {**tool.environ, "PUBSUB_EMULATOR_HOST": running.host}
        yield running


def published(request: bytes) -> PubsubMessage:
    message: PubsubMessage = PublishRequest.deserialize(request).messages[0]
    return message


def dead_letter(pubsub: PubSub, data: bytes, **attributes: str) -> str:
    """Put one on the dead-letter topic as Pub/Sub or an earlier redrive would."""
    url = f"http://{pubsub.emulator.host}/v1/{pubsub.topology.dead_letter_topic_path}:publish"
    message = {"data": base64.b64encode(data).decode(), "attributes": attributes}
    answer = requests.post(url, json={"messages": [message]}, timeout=10)
    message_id: str = answer.json()["messageIds"][0]
    return message_id


def test_the_list_says_what_happened_to_whom_and_why(onestock: OneStock, rejecting: Service, tool: Tool) -> None:
    event_id = send_rejected(onestock, rejecting, "D-1")[0]

    letters = tool.json("dead-letters", "list")
    table = tool.run("dead-letters", "list").stdout

    assert [letter["event_id"] for letter in letters] == [event_id] * 2
    assert {letter["handler"] for letter in letters} == {"refund", "archive"}
    assert {letter["reason"] for letter in letters} == {"invented: the shop knows no such order"}
    assert all(word in table for word in (event_id[:12], "D-1", "order_state_changed", "refund", "2 dead letters"))


def test_the_list_names_failures_where_pubsub_gave_up_since_it_does_not_say_why(pubsub: PubSub, tool: Tool) -> None:
    dead_letter(pubsub, b'{"order_id": "D-1"}', event_type="order_state_changed")

    assert tool.run("dead-letters", "list").stdout.splitlines()[-2:] == ["1 dead letter", "why: relay failures"]


def test_a_limit_of_none_is_refused(tool: Tool) -> None:
    assert tool.run("dead-letters", "redrive", "--limit=0").returncode == 2


def test_show_decodes_the_content_and_looking_takes_nothing_away(pubsub: PubSub, tool: Tool) -> None:
    message_id = dead_letter(pubsub, b'{"order_id": "D-1", "new_state": "\\u00fc"}', event_type="order_state_changed")
    dead_letter(pubsub, b"\xffnot JSON")

    shown = tool.json("dead-letters", "show", message_id)
    text = tool.run("dead-letters", "show", message_id).stdout
    missing = tool.run("dead-letters", "show", "12345678901")

    assert shown[0]["content"] == {"order_id": "D-1", "new_state": "ü"}
    assert '"new_state": "ü"' in text
    assert (missing.returncode, len(missing.stderr.splitlines())) == (1, 1)
    assert len(tool.json("dead-letters", "list")) == 2


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


def test_discard_asks_and_then_removes_what_was_chosen(pubsub: PubSub, tool: Tool) -> None:
    dead_letter(pubsub, b"{}", event_type="a")
    dead_letter(pubsub, b"{}", event_type="b")

    unanswered = tool.run("dead-letters", "discard", "--event-type", "a")
    refused = tool.run("dead-letters", "discard", "--event-type", "a", stdin="n\n")
    done = tool.run("dead-letters", "discard", "--event-type", "a", stdin="y\n")

    assert (unanswered.returncode, refused.returncode, done.returncode) == (1, 1, 0)
    assert [letter["event_type"] for letter in tool.json("dead-letters", "list")] == ["b"]


def test_a_limit_bounds_what_is_discarded_and_takes_the_oldest_event(pubsub: PubSub, tool: Tool) -> None:
    for day in range(6, 0, -1):
        dead_letter(pubsub, b"{}", event_type=f"day-{day}", received_at=f"2026-01-0{day}T00:00:00+00:00")

    done = tool.json("dead-letters", "discard", "--limit", "1", "--yes")

    assert done == {"discarded": 1, "may_come_back": []}
    assert [letter["event_type"] for letter in tool.json("dead-letters", "list")] == [f"day-{n}" for n in range(2, 7)]


def test_an_id_never_means_what_only_begins_like_it(pubsub: PubSub, tool: Tool) -> None:
    message_id = dead_letter(pubsub, b"{}", event_type="meant")
    dead_letter(pubsub, b"{}", event_type="other", event_id=f"{message_id}94330ae7067")

    refused = tool.run("dead-letters", "discard", f"{message_id}9", "--yes")
    done = tool.json("dead-letters", "discard", message_id, "--yes")

    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert f"{message_id}94330ae7067" in refused.stderr
    assert done["discarded"] == 1
    assert [letter["event_type"] for letter in tool.json("dead-letters", "list")] == ["other"]


def test_pulls_that_bring_nothing_do_not_end_the_list(pubsub: PubSub, tool: Tool, proxy: PubSubProxy) -> None:
    dead_letter(pubsub, b"{}", event_type="there")
    proxy.answers[PULL] = lambda request, forward: b"" if proxy.calls[PULL] < 8 else forward(request)

    letters = tool.json("dead-letters", "list")

    assert [letter["event_type"] for letter in letters] == ["there"]


def test_what_pubsub_did_not_confirm_is_not_reported_as_discarded(
    pubsub: PubSub, tool: Tool, proxy: PubSubProxy
) -> None:
    message_id = dead_letter(pubsub, b"{}", event_type="x")

    def refuse(_: bytes, __: Forward) -> bytes:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED)

    proxy.answers[ACKNOWLEDGE] = refuse
    ended = tool.run("dead-letters", "discard", "--yes", "--json")

    discarded = json.loads(ended.stdout)
    assert (ended.returncode, discarded["discarded"]) == (1, 0)
    assert [letter["id"] for letter in discarded["may_come_back"]] == [message_id]
    assert "refused by the proxy" in discarded["may_come_back"][0]["reason"]


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


@pytest.mark.parametrize("missing", ["GOOGLE_CLOUD_PROJECT", "PUBSUB_DEAD_LETTER_SUBSCRIPTION"])
def test_a_missing_setting_is_one_line(tool: Tool, missing: str) -> None:
    del tool.environ[missing]

    ended = tool.run("dead-letters", "list")

    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert missing in ended.stderr


def test_a_subscription_that_does_not_exist_is_one_line(tool: Tool) -> None:
    tool.environ["PUBSUB_DEAD_LETTER_SUBSCRIPTION"] = "no-such-subscription"

    ended = tool.run("dead-letters", "list")

    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "no-such-subscription" in ended.stderr


def test_nothing_to_redrive_is_no_problem(tool: Tool) -> None:
    assert json.loads(tool.run("dead-letters", "redrive", "--yes", "--json").stdout) == {"redriven": 0, "stayed": []}
