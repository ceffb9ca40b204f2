"""Webhooks in each part of a range, and the event types whose last webhooks OneStock sends again."""

from datetime import timedelta
from typing import Any

from relay.investigation.entries import Entry
from relay.investigation.index import EventIndex
from relay.investigation.rates import TypedWebhook, rates_of, unacknowledged_of, webhooks_among
from tests.support.entries import START, delivery, webhook

ORDERS = ("order_state_changed",)
REFUSED: dict[str, Any] = {"outcome": "not_published", "status": 503, "reason": "Pub/Sub did not confirm"}


def webhooks(*entries: Entry) -> list[TypedWebhook]:
    index = EventIndex()
    index.add(entries)
    return webhooks_among(index.summaries(lambda _: True))


def test_each_minute_has_its_published_and_refused_webhooks() -> None:
    found = webhooks(webhook(1), webhook(2, seconds=59), webhook(3, seconds=60, **REFUSED), delivery(1, seconds=61))

    rates = rates_of(found, since=START, until=START + timedelta(minutes=3))

    assert rates.length == timedelta(minutes=1)
    assert [(part.published, part.refused) for part in rates.parts] == [(2, 0), (0, 1), (0, 0)]


def test_a_long_range_has_longer_parts_and_no_webhook_is_left_out() -> None:
    found = webhooks(*(webhook(number, seconds=number * 3_600) for number in range(24)))

    rates = rates_of(found, since=START, until=START + timedelta(hours=24))

    assert (rates.length, len(rates.parts)) == (timedelta(minutes=12), 120)
    assert sum(part.published for part in rates.parts) == 24


def test_failed_attempts_count_from_the_first_one_after_the_last_acknowledged() -> None:
    sent = webhooks(
        webhook(1, **REFUSED),
        webhook(2, seconds=10),
        webhook(3, seconds=20, **REFUSED),
        webhook(3, seconds=50, **REFUSED),
    )

    found = unacknowledged_of(sent, ORDERS)

    assert found is not None
    assert (found.since, found.count, found.reason) == (START + timedelta(seconds=20), 2, "Pub/Sub did not confirm")


def test_an_acknowledged_webhook_and_other_event_types_leave_nothing_unacknowledged() -> None:
    sent = webhooks(webhook(1, **REFUSED), webhook(1, seconds=30), delivery(1, seconds=31))

    assert unacknowledged_of(sent, ORDERS) is None
    assert unacknowledged_of(sent[:1], ("parcel_state_changed",)) is None
