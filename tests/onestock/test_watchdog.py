"""The watchdog tells of each webhook that does not send, since when events may be missing, and may enable it."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.errors import ConfigurationError, OneStockError, StoreError
from relay.local.simulator import Simulator, Status, WebhookQueue
from relay.onestock import OneStock
from relay.onestock.watchdog import Watchdog
from relay.settings.webhooks import WatchdogSettings
from relay.stores.sightings import MemorySightings, Sighting

OURS = "https://receiver.example/webhooks/onestock"
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
RETRIES = timedelta(minutes=30)


class Clock:
    """Stands still until it is put forward."""

    time = NOON

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.start() as running:
        yield running


@pytest.fixture
def webhook(simulator: Simulator) -> WebhookQueue:
    return simulator.site.create_webhook("order_state_changed", f"{OURS}/order_state_changed", keys=[b"test-key"])


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Kennel:
    """Makes watchdogs of one memory."""

    def __init__(self, simulator: Simulator, clock: Clock) -> None:
        self.simulator = simulator
        self.clock = clock
        self.sightings = MemorySightings()
        self.clients: list[OneStock] = []

    def watchdog(self, **changed: str) -> Watchdog:
        environ = {**self.simulator.environ, "ONESTOCK_WEBHOOK_URL": OURS, **changed}
        settings = WatchdogSettings.from_environ(environ)
        self.clients.append(OneStock.connected(settings))
        return Watchdog(self.clients[-1], self.sightings, settings, now=self.clock)


@pytest.fixture
def kennel(simulator: Simulator, clock: Clock) -> Iterator[Kennel]:
    kept = Kennel(simulator, clock)
    yield kept
    for client in kept.clients:
        client.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, dict[str, Any]]]:
    found = [(record.levelno, getattr(record, "json_fields", {})) for record in caplog.records]
    return [(level, fields) for level, fields in found if fields.get("line") == "webhook_status"]


@pytest.mark.parametrize(
    ("status", "level"),
    [(Status.ENABLED, logging.INFO), (Status.PAUSED, logging.WARNING), (Status.DISABLED, logging.ERROR)],
)
def test_each_status_has_its_severity(
    kennel: Kennel, webhook: WebhookQueue, caplog: pytest.LogCaptureFixture, status: Status, level: int
) -> None:
    caplog.set_level(logging.INFO)
    webhook.set_status(status)

    (finding,) = kennel.watchdog().look()

    ((logged, fields),) = lines(caplog)
    assert logged == level
    assert (fields["status"], fields["webhook_id"], fields["event_types"]) == (status, "WH-1", ["order_state_changed"])
    assert finding.is_fine is (status is Status.ENABLED)


def test_a_disabled_webhook_is_left_alone_by_default(kennel: Kennel, webhook: WebhookQueue) -> None:
    webhook.set_status(Status.DISABLED)

    (finding,) = kennel.watchdog().look()

    assert not finding.is_reenabled
    assert webhook.status is Status.DISABLED


def test_it_enables_again_and_tells_since_when_events_may_be_missing(
    kennel: Kennel, webhook: WebhookQueue, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    watchdog = kennel.watchdog(ONESTOCK_REENABLE_WEBHOOKS="true")
    watchdog.look()
    clock.time += timedelta(minutes=40)
    webhook.set_status(Status.DISABLED)

    (finding,) = watchdog.look()

    assert (finding.is_reenabled, finding.missing_since, webhook.status) == (True, NOON - RETRIES, Status.ENABLED)
    assert "relay reconcile --since 2026-01-31T11:30:00Z" in caplog.text


def test_an_outage_that_a_person_ended_is_told_too(kennel: Kennel, webhook: WebhookQueue, clock: Clock) -> None:
    watchdog = kennel.watchdog()
    for status in (Status.ENABLED, Status.DISABLED, Status.PAUSED, Status.ENABLED):
        webhook.set_status(status)
        findings = watchdog.look()
        clock.time += timedelta(minutes=5)

    assert [(finding.may_miss_events, finding.missing_since) for finding in findings] == [(True, NOON - RETRIES)]
    assert [finding.is_fine for finding in watchdog.look()] == [True]


def test_what_nobody_has_seen_enabled_has_no_time(
    kennel: Kennel, webhook: WebhookQueue, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.set_status(Status.DISABLED)

    (finding,) = kennel.watchdog().look()

    assert (finding.may_miss_events, finding.missing_since) == (True, None)
    assert "since a time that nobody has seen" in caplog.text


def test_webhooks_of_others_are_neither_watched_nor_enabled(kennel: Kennel, simulator: Simulator) -> None:
    theirs = simulator.site.create_webhook("order_state_changed", f"{OURS}-of-others/x", keys=[b"test-key"])
    theirs.set_status(Status.DISABLED)

    assert kennel.watchdog(ONESTOCK_REENABLE_WEBHOOKS="true").look() == []
    assert theirs.status is Status.DISABLED


def test_what_cannot_be_enabled_is_told_and_does_not_stop_the_rest(
    kennel: Kennel, simulator: Simulator, webhook: WebhookQueue
) -> None:
    other = simulator.site.create_webhook("parcel_state_changed", f"{OURS}/parcel_state_changed", keys=[b"test-key"])
    webhook.set_status(Status.DISABLED)
    other.set_status(Status.DISABLED)
    simulator.fail(403, path="/webhooks/WH-1")

    first, second = kennel.watchdog(ONESTOCK_REENABLE_WEBHOOKS="true").look()

    assert "403" in (first.problem or "")
    assert second.is_reenabled
    assert (webhook.status, other.status) == (Status.DISABLED, Status.ENABLED)


def test_without_its_memory_it_still_enables(kennel: Kennel, webhook: WebhookQueue) -> None:
    class Forgetful(MemorySightings):
        def get(self, webhook_id: str) -> Sighting:
            raise StoreError(f"no memory of {webhook_id}")

    kennel.sightings = Forgetful()
    webhook.set_status(Status.DISABLED)

    (finding,) = kennel.watchdog(ONESTOCK_REENABLE_WEBHOOKS="true").look()

    assert finding.is_reenabled
    assert finding.problem == "no memory of WH-1"


def test_a_onestock_that_cannot_be_asked_is_an_error(kennel: Kennel, simulator: Simulator) -> None:
    simulator.fail(403, path="/v3/webhooks")

    with pytest.raises(OneStockError, match="GET /v3/webhooks: 403"):
        kennel.watchdog().look()


def test_enabling_needs_to_know_which_webhooks_are_ours(kennel: Kennel) -> None:
    with pytest.raises(ConfigurationError, match="ONESTOCK_WEBHOOK_URL"):
        kennel.watchdog(ONESTOCK_REENABLE_WEBHOOKS="true", ONESTOCK_WEBHOOK_URL="")
