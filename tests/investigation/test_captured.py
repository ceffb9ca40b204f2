"""A kept webhook holds nothing of a person, is read again as it was written, and becomes an event for a test."""

import json
from datetime import UTC, datetime

import pytest

from relay.investigation.capture import read_captures, read_request
from relay.investigation.captured import EventFixture, KeptWebhook
from relay.investigation.entries import Entry

PERSONAL = ("Invented", "invented@example.com", "+33 100000000", "Nowhere Road 1", "75999", "48.5")
BODY = {
    "order_id": "ORD-1",
    "new_state": "packed",
    "date": 1767225600,
    "customer_id": "invented@example.com",
    "invented@example.com": True,
    "customer": {
        "name": "Invented",
        "phones": ["+33 100000000"],
        "address": [{"line": "Nowhere Road 1", "zip": 75999}],
    },
    "delivery": {"id": {"latitude": 48.5}},
}
WHEN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def logged(content: object = json.dumps(BODY), **fields: object) -> Entry:
    known = {"line": "webhook", "event_type": "order_state_changed", "signature_header": "t=1,h0=ab"}
    length = {"body_bytes": len(content)} if isinstance(content, str) else {"body_bytes": 1_000}
    return Entry(time=WHEN, fields={**known, **length, "content": content, **fields}, labels={}, severity="INFO")


def test_no_value_of_a_person_survives_in_a_file() -> None:
    kept = KeptWebhook.of(logged(), is_raw=False)

    assert kept
    assert [value for value in PERSONAL if value in kept.text + kept.file_name] == []
    assert "t=1,h0=ab" not in kept.text
    content = json.loads(read_request(kept.text.encode()).body)
    assert (content["order_id"], content["new_state"], content["date"]) == ("ORD-1", "packed", 1767225600)


def test_a_raw_file_holds_the_body_byte_for_byte_and_its_signature() -> None:
    kept = KeptWebhook.of(logged('{"a":\t1}'), is_raw=True)

    assert kept
    [read] = read_captures(kept.text.encode())
    assert (read.body, read.headers) == (b'{"a":\t1}', (("Onestock-Signature", "t=1,h0=ab"),))
    assert (read.body_is_whole, read.event_type) == (True, "order_state_changed")


def test_a_body_that_the_log_has_masked_is_kept_masked_and_not_as_raw() -> None:
    entry = logged({"order_id": "ORD-1", "name": "***"})

    kept = KeptWebhook.of(entry, is_raw=False)

    assert kept
    assert not read_captures(kept.text.encode())[0].body_is_whole
    assert KeptWebhook.of(entry, is_raw=True) is None


@pytest.mark.parametrize("entry", [logged('{"a": 1', body_bytes=70), logged("no JSON"), logged("12 bytes"), logged("")])
def test_what_cannot_be_masked_is_not_kept(entry: Entry) -> None:
    assert KeptWebhook.of(entry, is_raw=False) is None


def test_a_strangers_event_type_stays_in_the_folder() -> None:
    kept = KeptWebhook.of(logged(event_type="../../.Bashrc"), is_raw=False)

    assert kept
    assert kept.file_name.startswith("20260101T120000.000-bashrc-")


def test_a_fixture_of_a_raw_file_is_masked_and_named_by_its_state() -> None:
    kept = KeptWebhook.of(logged(), is_raw=True)

    assert kept
    event = EventFixture.of(read_request(kept.text.encode()))

    assert event
    assert event.name == "order_state_changed_packed"
    assert [value for value in PERSONAL if value in event.text] == []


def test_a_raw_request_says_its_event_type() -> None:
    captured = read_request(b"POST /webhooks/onestock/order_state_changed HTTP/1.1\r\nHost: x\r\n\r\n{}")

    assert (captured.event_type, captured.body) == ("order_state_changed", b"{}")
