"""Every attribute that a message has, and what it means for the event in it."""

import gzip
import hashlib
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from relay.errors import MessageTooLarge
from relay.events import Delivery
from relay.message import MAX_ATTRIBUTE_BYTES, MAX_DATA_BYTES, Message

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RECEIVED = "2026-01-01T09:00:00.000+00:00"
BODY = b'{"order_id": "D-1"}'


def delivery_of(message: Message, *, max_body_bytes: int = 1_000) -> Delivery:
    return message.to_delivery(
        message_id="m1", published_at=NOW - timedelta(hours=2), delivery_attempt=3, max_body_bytes=max_body_bytes
    )


def message(*, data: bytes = BODY, **attributes: str) -> Message:
    known = {"event_type": "order_state_changed", "event_id": "abcdef12", "received_at": RECEIVED}
    return Message(data=data, attributes=known | attributes)


def rejected(**attributes: str) -> Message:
    """Return the quarantined copy of an event that `refund` rejected."""
    original = Message(data=BODY, attributes=message().attributes | attributes)
    return Message.for_quarantine(
        delivery_of(original), reason="The shop knows no such order", handler="refund", now=NOW
    )


def test_a_webhook_becomes_these_attributes_and_no_other() -> None:
    made = Message.from_webhook(
        BODY, event_type=None, content_type="application/json", received_at=NOW, traceparent="00-a"
    )

    assert (made.data, made.ordering_key) == (BODY, "D-1")
    assert made.attributes == {
        "event_type": "unknown",
        "event_id": hashlib.sha256(b"unknown\n" + BODY).hexdigest(),
        "received_at": "2026-01-01T12:00:00.000+00:00",
        "content_type": "application/json",
        "traceparent": "00-a",
    }


def test_a_body_that_would_not_fit_travels_in_gzip() -> None:
    body = b'{"order_id": "D-1"}' + b" " * MAX_DATA_BYTES

    made = Message.from_webhook(body, event_type="x", content_type="", received_at=NOW, traceparent="")

    assert made.attributes["content_encoding"] == "gzip"
    assert delivery_of(made, max_body_bytes=len(body)).body == body


@pytest.mark.parametrize(
    ("data", "damage"),
    [
        (b"no gzip", "is marked as gzip but is not"),
        (gzip.compress(b"x" * 2_000, mtime=0), "more than 1000 bytes"),
        (gzip.compress(b"x" * 900, mtime=0)[:-9], "ends too early"),
    ],
)
def test_data_that_cannot_be_restored_is_kept_as_it_came(data: bytes, damage: str) -> None:
    delivery = delivery_of(message(data=data, content_encoding="gzip"))

    assert delivery.body == data
    assert damage in (delivery.damage or "")


def test_what_cannot_fit_even_in_gzip_is_refused() -> None:
    noise = random.Random(1).randbytes(MAX_DATA_BYTES + 1)

    with pytest.raises(MessageTooLarge, match="one Pub/Sub message holds"):
        Message.from_webhook(noise, event_type="x", content_type="", received_at=NOW, traceparent="")


def test_a_message_published_by_hand_gets_its_identity_from_its_body() -> None:
    delivery = delivery_of(Message(data=b'{"order_id": 7, "topic": "order_state_changed"}'))

    assert (delivery.event_type, delivery.ordering_key) == ("order_state_changed", "7")
    assert len(delivery.event_id) == 64
    assert delivery.received_at == NOW - timedelta(hours=2)


def test_a_delivery_tells_what_the_attributes_say() -> None:
    marked = message(generation="4", rerun="completed", only_handler="refund", synthetic="true", traceparent="00-a")

    delivery = delivery_of(marked)

    assert (delivery.generation, delivery.reruns_completed, delivery.only_handler) == (4, True, "refund")
    assert (delivery.is_synthetic, delivery.traceparent) == (True, "00-a")


@pytest.mark.parametrize("text", ["", "-1", "1.5", "\u0661", "9" * 13, "x"])
def test_a_count_that_is_none_counts_as_nothing(text: str) -> None:
    assert delivery_of(message(generation=text)).generation == 0


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T10:00:00+01:00", datetime(2026, 1, 1, 9, tzinfo=UTC)),
        ("2026-01-01T09:00:00", datetime(2026, 1, 1, 9, tzinfo=UTC)),
        ("yesterday", NOW - timedelta(hours=2)),
    ],
)
def test_a_time_without_a_zone_is_utc_and_no_time_is_the_publish_time(text: str, moment: datetime) -> None:
    assert delivery_of(message(received_at=text)).received_at == moment


def test_a_quarantined_copy_says_who_rejected_the_event_why_and_when() -> None:
    marks = rejected(redrives="2").dead_letter_marks

    assert rejected().attributes["dead_lettered_at"] == "2026-01-01T12:00:00.000+00:00"
    assert (marks.reason, marks.handler) == ("The shop knows no such order", "refund")
    assert (marks.attempts, marks.redrives) == (3, 2)


def test_a_quarantined_copy_holds_the_body_as_onestock_sent_it() -> None:
    compressed = message(data=gzip.compress(BODY, mtime=0), content_encoding="gzip")

    copy = Message.for_quarantine(delivery_of(compressed), reason="x", handler=None, now=NOW)

    assert (copy.data, "content_encoding" in copy.attributes) == (BODY, False)
    assert copy.dead_letter_marks.handler == ""


def test_a_long_reason_is_cut_between_two_characters() -> None:
    copy = Message.for_quarantine(delivery_of(message()), reason="x" + "ü" * 2_000, handler=None, now=NOW)

    reason = copy.dead_letter_marks.reason
    assert reason == "x" + "ü" * ((MAX_ATTRIBUTE_BYTES - 1) // 2)


def test_what_pubsub_gave_up_says_after_how_many_attempts() -> None:
    counted = message(CloudPubSubDeadLetterSourceDeliveryCount="7").dead_letter_marks
    uncounted = message().dead_letter_marks

    assert (counted.attempts, counted.reason) == (7, "Pub/Sub gave up after 7 delivery attempts")
    assert (uncounted.attempts, uncounted.reason) == (None, "Pub/Sub gave up after too many delivery attempts")


def test_a_redriven_event_keeps_its_identity_and_names_its_handler() -> None:
    letter = rejected(rerun="completed", CloudPubSubDeadLetterSourceSubscription="push")

    back = letter.redriven(delivery_of(letter), now=NOW)

    assert (back.data, back.ordering_key) == (BODY, "D-1")
    assert back.attributes == {
        "event_id": "abcdef12",
        "event_type": "order_state_changed",
        "received_at": RECEIVED,
        "generation": str(int(NOW.timestamp())),
        "redrives": "1",
        "only_handler": "refund",
    }


def test_what_came_back_for_one_handler_and_was_given_up_goes_back_to_that_one() -> None:
    letter = message(only_handler="refund", CloudPubSubDeadLetterSourceDeliveryCount="100")

    assert letter.dead_letter_marks.handler == "refund"
    assert letter.redriven(delivery_of(letter), now=NOW).attributes["only_handler"] == "refund"


def test_what_no_single_handler_rejected_goes_back_to_all() -> None:
    assert "only_handler" not in message().redriven(delivery_of(message()), now=NOW).attributes


def test_a_generation_always_rises() -> None:
    later = int(NOW.timestamp()) + 1_000
    letter = message(generation=str(later))

    assert letter.redriven(delivery_of(letter), now=NOW).attributes["generation"] == str(later + 1)


def test_a_replayed_event_runs_all_its_handlers_again() -> None:
    before = message(only_handler="refund", traceparent="00-a")

    again = delivery_of(before.replayed(delivery_of(before), generation=99))

    assert (again.event_id, again.generation, again.reruns_completed) == ("abcdef12", 99, True)
    assert (again.only_handler, again.traceparent) == ("", "00-a")


def test_a_synthetic_event_is_marked_and_stays_otherwise_the_same() -> None:
    made = message().as_synthetic()

    assert made == replace(message(), attributes=message().attributes | {"synthetic": "true"})
