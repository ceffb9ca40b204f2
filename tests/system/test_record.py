"""Record-only mode cannot stop a feed, ends by itself, and a refused webhook's line is enough to diagnose it."""

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.parts import HASH_KEY, OneStock, Tool, order_event

BODY = order_event("ORD-1")


def signed_otherwise() -> bytes:
    mac = hmac.new(HASH_KEY, BODY, hashlib.sha512).hexdigest().upper()
    return f"t={int(time.time())};h0={mac}".encode()


@pytest.fixture
def recording(settings: dict[str, str]) -> dict[str, str]:
    until = datetime.now(UTC) + timedelta(days=7)
    settings |= {"ONESTOCK_SIGNATURE": "record", "ONESTOCK_RECORD_UNTIL": until.isoformat(), "K_SERVICE": "receiver"}
    return settings


@pytest.mark.usefixtures("recording")
def test_a_signature_of_any_kind_is_published_and_diagnosed(onestock: OneStock) -> None:
    statuses = [onestock.send_with_header(BODY, header).status_code for header in (signed_otherwise(), None)]
    statuses.append(onestock.send(BODY).status_code)

    otherwise, missing, right = onestock.receiver.canonical("webhook")
    assert statuses == [202, 202, 202]
    assert otherwise["signature_reading"] == "HMAC-SHA512 of 'body' in upper-case hex: h0 with key 1"
    assert otherwise["severity"] == "WARNING"
    assert missing["signature_reading"] == "none: no header Onestock-Signature"
    assert "signature_reading" not in right
    assert "signature_header" not in right


@pytest.fixture
def ended(recording: dict[str, str]) -> dict[str, str]:
    recording["ONESTOCK_RECORD_UNTIL"] = "2026-01-01T00:00:00Z"
    return recording


@pytest.mark.usefixtures("ended")
def test_once_its_time_is_over_a_wrong_signature_is_refused(onestock: OneStock) -> None:
    refused, accepted = onestock.send_with_header(BODY, signed_otherwise()), onestock.send(BODY)

    assert (refused.status_code, accepted.status_code) == (401, 202)
    assert "ONESTOCK_RECORD_UNTIL ended" in onestock.receiver.canonical("webhook")[0]["reason"]


def test_the_line_of_a_refused_webhook_can_be_diagnosed(onestock: OneStock, tool: Tool) -> None:
    refused = onestock.send_with_header(BODY, signed_otherwise())
    log = onestock.receiver.child.output.read_text()

    [diagnosis] = json.loads(tool.run("signature", "diagnose", "--json", stdin=log).stdout)

    assert refused.status_code == 401
    assert diagnosis["text"] == "HMAC-SHA512 of 'body' in upper-case hex: h0 with key 1"
    assert diagnosis["signed_string_setting"] is None
