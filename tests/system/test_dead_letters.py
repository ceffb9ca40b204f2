"""The person on call sees what nobody could handle, removes what is not wanted, and loses nothing meanwhile."""

import json

import grpc
import pytest

from tests.support.dead_letter_topic import dead_letter, send_rejected
from tests.support.parts import OneStock, PubSub, Service, Tool
from tests.support.pubsub_proxy import ACKNOWLEDGE, PULL, Forward, PubSubProxy, Refused


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
