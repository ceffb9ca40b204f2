"""Record mode cannot stop the feed, ends by itself, and what it logs is enough to diagnose a signature."""

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.parts import HASH_KEY, OneStock, Service, Tool, order_event

BODY = order_event("ORD-1")


def signed_otherwise(body: bytes = BODY) -> bytes:
    mac = hmac.new(HASH_KEY, body, hashlib.sha512).hexdigest().upper()
    return f"t={int(time.time())};h0={mac}".encode()


@pytest.fixture
def recording(settings: dict[str, str]) -> dict[str, str]:
    until = datetime.now(UTC) + timedelta(days=7)
    settings |= {"ONESTOCK_SIGNATURE": "record", "ONESTOCK_RECORD_UNTIL": until.isoformat(), "K_SERVICE": "receiver"}
    settings |= {"LOG_CONTENT": "off"}
    return settings


@pytest.mark.usefixtures("recording")
def test_whatever_the_signature_is_the_webhook_is_published_and_its_line_holds_header_and_body(
    onestock: OneStock,
) -> None:
    headers = (signed_otherwise(), None)
    statuses = [onestock.send_with_header(BODY, header).status_code for header in headers]
    statuses.append(onestock.send(BODY).status_code)

    otherwise, missing, right = onestock.receiver.canonical("webhook")
    assert statuses == [202, 202, 202]
    assert (otherwise["severity"], otherwise["signature_header"]) == ("WARNING", headers[0].decode())
    assert (missing["severity"], missing["reason"]) == ("WARNING", "header missing")
    assert right["severity"] == "INFO"
    assert "signature_header" not in right
    assert {line["content"] for line in (otherwise, missing, right)} == {BODY.decode()}


@pytest.mark.usefixtures("recording")
def test_the_start_says_that_everything_is_recorded_and_until_when(receiver: Service, settings: dict[str, str]) -> None:
    [said] = [line for line in receiver.lines() if "ONESTOCK_SIGNATURE=record until" in line.get("message", "")]

    assert settings["ONESTOCK_RECORD_UNTIL"] in said["message"]
    assert said["severity"] == "WARNING"


@pytest.mark.parametrize("body", [BODY, b"\xff\x00 no text", b""], ids=["JSON", "no text", "empty"])
@pytest.mark.usefixtures("recording")
def test_what_was_recorded_can_be_diagnosed(onestock: OneStock, tool: Tool, body: bytes) -> None:
    recorded = onestock.send_with_header(body, signed_otherwise(body))

    [diagnosis] = diagnosed(tool, onestock.receiver)

    assert recorded.status_code == 202
    assert diagnosis["text"] == "HMAC-SHA512 of 'body' in upper-case hex: h0 with key 1"


@pytest.fixture
def ended(recording: dict[str, str]) -> dict[str, str]:
    recording["ONESTOCK_RECORD_UNTIL"] = "2026-01-01T00:00:00Z"
    return recording


@pytest.mark.usefixtures("ended")
def test_once_its_time_is_over_a_wrong_signature_is_refused_and_log_content_holds_again(onestock: OneStock) -> None:
    refused, accepted = onestock.send_with_header(BODY, signed_otherwise()), onestock.send(BODY)

    lines = onestock.receiver.canonical("webhook")
    assert (refused.status_code, accepted.status_code) == (401, 202)
    assert "ONESTOCK_RECORD_UNTIL ended" in lines[0]["reason"]
    assert [line for line in lines if "content" in line] == []
    assert any("acts as required" in line.get("message", "") for line in onestock.receiver.lines())


def test_the_line_of_a_refused_webhook_can_be_diagnosed(onestock: OneStock, tool: Tool) -> None:
    refused = onestock.send_with_header(BODY, signed_otherwise())

    [diagnosis] = diagnosed(tool, onestock.receiver)

    assert refused.status_code == 401
    assert diagnosis["text"] == "HMAC-SHA512 of 'body' in upper-case hex: h0 with key 1"
    assert diagnosis["signed_string_setting"] is None


def diagnosed(tool: Tool, receiver: Service) -> list[dict[str, Any]]:
    """Return what `relay signature diagnose` says of the receiver's lines."""
    log = receiver.child.output.read_text()
    diagnoses: list[dict[str, Any]] = json.loads(tool.run("signature", "diagnose", "--json", stdin=log).stdout)
    return diagnoses
