"""The person on call sees what nobody could handle, brings it back or removes it, and loses nothing meanwhile."""

import base64
import json

import pytest
import requests

from tests.support.parts import OneStock, PubSub, Service, Tool, data_of, order_event
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until


@pytest.fixture
def rejecting(shop_settings: dict[str, str], worker: Service) -> Service:
    """Return a worker whose handlers reject orders marked so, until the shop is repaired."""
    assert shop_settings["HANDLERS_PACKAGE"] == "tests.support.shop"
    return worker


def send_rejected(onestock: OneStock, worker: Service, *order_ids: str) -> list[str]:
    sent = [onestock.send(order_event(order_id, reject=True)).json()["event_id"] for order_id in order_ids]
    wait_until(lambda: len(quarantined(worker)) >= len(sent), within=20)
    return sent


def quarantined(worker: Service) -> list[str]:
    return [line["event_id"] for line in worker.canonical("delivery") if line["outcome"] == "quarantined"]


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
    wait_until(lambda: len(ledger.done()) == 6, within=20)

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
    wait_until(lambda: len(quarantined(rejecting)) >= 2, within=20)

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
    wait_until(lambda: "given-up" in worker.handled(), within=20)

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
