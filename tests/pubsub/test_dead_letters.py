"""Which dead letters a filter means, and what goes back to the topic."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.message import Message
from relay.pubsub.dead_letters import DeadLetter, Filter
from relay.pubsub.pace import Pace
from relay.pubsub.pull import Pulled

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def letter(body: bytes = b'{"order_id": "D-1"}', *, message_id: str = "m1", **attributes: str) -> DeadLetter:
    message = Message(data=body, attributes={"event_type": "order_state_changed", "event_id": "abcdef12", **attributes})
    published_at = NOW - timedelta(hours=2)
    delivery = message.to_delivery(
        message_id=message_id, published_at=published_at, delivery_attempt=None, max_body_bytes=1_000
    )
    return DeadLetter(pulled=Pulled(ack_id="a", message=message, delivery=delivery, published_at=published_at))


REJECTED = letter(dead_letter_reason="The shop knows no such order", dead_letter_handler="refund")


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({}, True),
        ({"ids": ("m1",)}, True),
        ({"ids": ("abcdef",)}, True),
        ({"ids": ("m",)}, False),
        ({"ids": ("m2", "ffffff")}, False),
        ({"event_type": "order_state_changed"}, True),
        ({"event_type": "parcel_state_changed"}, False),
        ({"order_id": "D-1"}, True),
        ({"order_id": "D-2"}, False),
        ({"reason": "NO SUCH order"}, True),
        ({"reason": "time-out"}, False),
        ({"handler": "refund"}, True),
        ({"handler": "archive"}, False),
        ({"older_than_seconds": 7_100}, True),
        ({"older_than_seconds": 7_300}, False),
        ({"newer_than_seconds": 7_300}, True),
        ({"newer_than_seconds": 7_100}, False),
        ({"order_id": "D-1", "handler": "archive"}, False),
    ],
)
def test_a_filter_means_what_fits_everything_in_it(options: dict[str, Any], *, fits: bool) -> None:
    assert Filter(**options).fits(REJECTED, NOW) is fits


def test_a_redriven_event_keeps_its_identity_and_gets_a_new_generation() -> None:
    attributes = letter(received_at="2026-01-01T09:00:00.000+00:00", dead_letter_reason="x", rerun="completed")

    message = attributes.redriven(NOW)

    assert message.data == b'{"order_id": "D-1"}'
    assert message.ordering_key == "D-1"
    assert message.attributes == {
        "event_id": "abcdef12",
        "event_type": "order_state_changed",
        "received_at": "2026-01-01T09:00:00.000+00:00",
        "generation": str(int(NOW.timestamp())),
        "redrives": "1",
    }


def test_a_generation_always_rises() -> None:
    later = int(NOW.timestamp()) + 1_000

    assert letter(generation=str(later)).redriven(NOW).attributes["generation"] == str(later + 1)


def test_what_pubsub_forwarded_without_identity_gets_one() -> None:
    message = letter(b"{}", event_id="").redriven(NOW)

    assert len(message.attributes["event_id"]) == 64


def test_a_pace_of_ten_a_second_waits_a_tenth_between() -> None:
    now = [0.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    pace = Pace(10, clock=lambda: now[0], sleep=sleep)
    for _ in range(3):
        pace.wait()

    assert waits == pytest.approx([0.1, 0.1])


def test_a_pace_of_zero_never_waits() -> None:
    def sleep(seconds: float) -> None:
        pytest.fail(f"waited {seconds} s")

    pace = Pace(0, clock=lambda: 0.0, sleep=sleep)

    for _ in range(100):
        pace.wait()
