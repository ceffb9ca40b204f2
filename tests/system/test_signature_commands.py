"""`send` and `signature`: signed requests for any deployment, and what a refused one was signed with."""

import json

import pytest

from relay.receiver.signature import HEADER
from tests.support.parts import HASH_KEY, Service, Tool


@pytest.fixture
def sender(tool: Tool, receiver: Service) -> Tool:
    return Tool({**tool.environ, "RECEIVER_URL": f"http://127.0.0.1:{receiver.port}"})


def test_what_is_sent_is_acknowledged_and_a_duplicate_is_the_same_event(sender: Tool, receiver: Service) -> None:
    answers = sender.json("send", "order_state_changed", "--order", "ORD-7", "--duplicate")

    assert [answer["status"] for answer in answers] == [202, 202]
    assert len({json.loads(answer["text"])["event_id"] for answer in answers}) == 1
    assert all(answer["latency_ms"] > 0 for answer in answers)
    assert [line["order_id"] for line in receiver.canonical("webhook")] == ["ORD-7", "ORD-7"]


def test_a_bad_signature_is_refused_as_it_should_be(sender: Tool, receiver: Service) -> None:
    refused = sender.run("send", "order_state_changed", "--bad-signature")

    assert refused.returncode == 0
    assert "401 in " in refused.stdout
    assert HASH_KEY.decode() not in refused.stdout + refused.stderr
    assert [line["outcome"] for line in receiver.canonical("webhook")] == ["refused"]


def test_an_answer_that_onestock_does_not_need_is_exit_status_1(tool: Tool) -> None:
    unanswered = tool.run("send", "order_state_changed", "--url", "http://127.0.0.1:1")

    assert unanswered.returncode == 1
    assert "no answer in " in unanswered.stdout
    assert unanswered.stderr == "OneStock needs a 202 here.\n"


def test_what_was_signed_is_diagnosed(tool: Tool) -> None:
    body = '{"order_id": "ORD-7"}'
    signed = tool.run("signature", "sign", "--signed-string", "timestamp", "--separator", ".", stdin=body)

    told = tool.run("signature", "diagnose", stdin=f"{signed.stdout}\n{body}")

    assert signed.stdout.startswith(f"{HEADER}: t=")
    assert told.returncode == 0
    assert "HMAC-SHA256 of 't' in hex: h0 with key 1" in told.stdout
    assert "reads this with ONESTOCK_SIGNED_STRING=timestamp" in told.stdout


def test_what_no_key_has_signed_is_told_and_is_exit_status_1(tool: Tool) -> None:
    told = tool.run("signature", "diagnose", stdin=f"{HEADER}: t=1735689600,h0={'ab' * 32}\n\n{{}}")

    assert told.returncode == 1
    assert f"saw      {HEADER} h0: 64 characters, perhaps hex of 32 bytes" in told.stdout
    assert "reading  none of " in told.stdout


@pytest.mark.parametrize(
    "arguments", [("signature", "diagnose"), ("send", "a/b"), ("send", "a", "--field", "x")], ids=" ".join
)
def test_wrong_use_is_told_without_a_traceback_or_a_key(tool: Tool, arguments: tuple[str, ...]) -> None:
    ended = tool.run(*arguments, stdin="no webhook")

    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert HASH_KEY.decode() not in ended.stderr


def test_a_signature_is_one_document_for_scripts(tool: Tool) -> None:
    signed = tool.json("signature", "sign", "--timestamp", "1735689600", stdin="{}")
    text = tool.run("signature", "sign", "--timestamp", "1735689600", stdin="{}").stdout

    assert (signed["name"], signed["timestamp"]) == (HEADER, 1735689600)
    assert text == f"{HEADER}: {signed['value']}\n"


def test_a_diagnosis_is_one_document_for_scripts(tool: Tool) -> None:
    signed = tool.run("signature", "sign", stdin="{}").stdout

    [diagnosis] = tool.json("signature", "diagnose", stdin=f"{signed}\n{{}}")

    assert {"reading", "seen", "text", "signed_string_setting"} <= diagnosis.keys()
    assert diagnosis["signed_string_setting"] == "timestamp.body"
