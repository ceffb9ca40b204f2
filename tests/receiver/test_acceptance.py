"""How a webhook ends, and the line that says so."""

import json
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.errors import BodyIncomplete, BodyTooLarge, MessageTooLarge, Overloaded, PublishError, RelayError
from relay.receiver.acceptance import Acceptance, Decision, Ending, Webhook, announce_recording
from relay.receiver.signature import sign
from relay.settings.receiver import ReceiverSettings, SignedString
from relay.tracing import Trace
from tests.support.topic import Topic

KEY = b"a-test-key"
NOW = 1_767_225_600
BODY = json.dumps({"order_id": "ORD-1", "new_state": "placed", "customer": "Ada Invented"}).encode()
GOOD = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_TOPIC": "events", "ONESTOCK_HASH_KEYS": KEY.decode()}
RECORD: dict[str, Any] = {"ONESTOCK_SIGNATURE": "record", "LOG_CONTENT": "off"}
WRONG = f"t={NOW},h0={'ab' * 32}"


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def settings(**changes: str) -> ReceiverSettings:
    return ReceiverSettings.from_environ(GOOD | changes)


def header(body: bytes = BODY) -> str:
    return sign(body, keys=[KEY], timestamp=NOW, signed_string=SignedString.TIMESTAMP_BODY)


def webhook(signature: str | None) -> Webhook:
    return Webhook(
        path="/webhooks/onestock/order_state_changed",
        event_type="order_state_changed",
        content_type="application/json",
        signature=signature,
        trace=Trace.continued(None),
        received_at=datetime.fromtimestamp(NOW, UTC),
        started=time.monotonic(),
    )


def accept(topic: Topic, signature: str | None, *, body: bytes = BODY, **changes: str) -> Decision:
    return Acceptance(settings(**changes), topic, now=lambda: NOW).accept(webhook(signature), lambda: body)


def line_of(lines: pytest.LogCaptureFixture) -> dict[str, Any]:
    [record] = lines.records
    return {"severity": record.levelname, "text": record.getMessage(), **record.__dict__["json_fields"]}


def test_a_signed_webhook_is_published_as_it_came(topic: Topic, lines: pytest.LogCaptureFixture) -> None:
    decision = accept(topic, header())

    [message] = topic.messages
    assert (decision.ending, decision.message_id, message.data) == (Ending.PUBLISHED, "m-1", BODY)
    line = line_of(lines)
    assert (line["severity"], line["outcome"], line["status"]) == ("INFO", "published", 202)
    assert (line["event_id"], line["order_id"], line["message_id"]) == (message.event_id, "ORD-1", "m-1")
    assert (line["content"], line["body_bytes"]) == (BODY.decode(), len(BODY))
    assert "signature_header" not in line


@pytest.mark.parametrize("signature", [None, "", WRONG, "h0=x", "\xff"])
def test_what_is_not_proven_is_refused_and_the_reason_stays_in_the_log(
    topic: Topic, lines: pytest.LogCaptureFixture, signature: str | None
) -> None:
    decision = accept(topic, signature)

    line = line_of(lines)
    assert (decision.ending, topic.messages) == (Ending.REFUSED, [])
    assert (line["severity"], line["status"], line.get("signature_header")) == ("WARNING", 401, signature)
    assert line["reason"] in line["text"]


@pytest.mark.parametrize(
    ("failure", "ending", "severity"),
    [
        (BodyTooLarge("x"), Ending.TOO_LARGE, "WARNING"),
        (BodyIncomplete("x"), Ending.BROKEN_OFF, "WARNING"),
        (Overloaded("x"), Ending.OVERLOADED, "ERROR"),
        (MessageTooLarge("x"), Ending.TOO_LARGE, "WARNING"),
        (PublishError("x"), Ending.NOT_PUBLISHED, "ERROR"),
    ],
)
def test_every_failure_has_its_ending_and_its_line(
    topic: Topic, lines: pytest.LogCaptureFixture, failure: RelayError, ending: Ending, severity: str
) -> None:
    def read_body() -> bytes:
        raise failure

    decision = Acceptance(settings(), topic, now=lambda: NOW).accept(webhook(None), read_body)

    line = line_of(lines)
    assert decision.ending is ending
    assert (line["severity"], line["outcome"], line["reason"]) == (severity, ending, "x")
    assert line["status"] == ending.status


@pytest.mark.parametrize(("mode", "shown"), [("off", False), ("redacted", False), ("full", True)])
def test_a_line_holds_no_more_of_the_body_than_log_content_allows(
    topic: Topic,
    lines: pytest.LogCaptureFixture,
    mode: str,
    shown: bool,  # noqa: FBT001 - the table's column
) -> None:
    accept(topic, header(), LOG_CONTENT=mode)
    topic.failure = PublishError("frozen")
    accept(topic, header(), LOG_CONTENT=mode)
    topic.failure = RuntimeError("nobody foresaw this")
    accept(topic, header(), LOG_CONTENT=mode)
    accept(topic, WRONG, LOG_CONTENT=mode)

    formatter = logging.Formatter()
    written = [formatter.format(record) + repr(record.__dict__) for record in lines.records]
    assert ["Ada Invented" in text for text in written] == [shown] * 4


@pytest.mark.parametrize(
    ("changes", "mode"),
    [({}, "full"), ({"K_SERVICE": "receiver"}, "redacted"), ({"K_SERVICE": "r", "LOG_CONTENT": "full"}, "full")],
)
def test_redacted_is_the_default_on_cloud_run(changes: dict[str, str], mode: str) -> None:
    assert settings(**changes).log_content == mode


def test_recording_publishes_what_is_not_proven_and_keeps_header_and_whole_body(
    topic: Topic, lines: pytest.LogCaptureFixture
) -> None:
    body = b'{"order_id": "' + b"x" * 20_000 + b'"}'

    decision = accept(topic, WRONG, body=body, **RECORD)

    line = line_of(lines)
    assert (decision.ending, len(topic.messages)) == (Ending.PUBLISHED, 1)
    assert (line["severity"], line["signature_header"], line["content"]) == ("WARNING", WRONG, body.decode())
    assert line["reason"] == "no configured hash key matches"


@pytest.mark.parametrize(("seconds", "severity"), [(90_000, "WARNING"), (3_600, "ERROR")])
def test_on_the_last_day_what_will_be_refused_is_an_error(
    topic: Topic, lines: pytest.LogCaptureFixture, seconds: int, severity: str
) -> None:
    until = (datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds)).isoformat()

    accept(topic, WRONG, **RECORD, ONESTOCK_RECORD_UNTIL=until)

    assert line_of(lines)["severity"] == severity


def test_once_recording_has_ended_the_line_is_as_log_content_says(
    topic: Topic, lines: pytest.LogCaptureFixture
) -> None:
    decision = accept(topic, WRONG, **RECORD, ONESTOCK_RECORD_UNTIL="2020-01-01T00:00:00Z")

    assert decision.ending is Ending.REFUSED
    assert "content" not in line_of(lines)
    assert "ONESTOCK_RECORD_UNTIL ended" in line_of(lines)["reason"]


def test_the_start_says_that_webhooks_are_recorded_until_when_and_that_it_ended(
    lines: pytest.LogCaptureFixture,
) -> None:
    announce_recording(settings(), now=NOW)
    announce_recording(settings(**RECORD), now=NOW)
    announce_recording(settings(**RECORD, ONESTOCK_RECORD_UNTIL="2026-01-02T00:00:00Z"), now=NOW)
    announce_recording(settings(**RECORD, ONESTOCK_RECORD_UNTIL="2025-01-02T00:00:00Z"), now=NOW)

    without_end, with_end, ended = [record.getMessage() for record in lines.records]
    assert "record until you set it to required" in without_end
    assert "record until 2026-01-02T00:00:00+00:00" in with_end
    assert "LOG_CONTENT" in with_end
    assert "acts as required" in ended
