"""A rotation that is stopped goes on; one that cannot succeed puts the old webhooks back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from relay.errors import ConfigurationError, OneStockError
from relay.local.simulator import Simulator, Status
from relay.onestock import OneStock
from relay.onestock.rotation import Rotation
from relay.settings.onestock import OneStockSettings

KEY = SecretStr("test-new-key")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.start() as running:
        for event_type in ("order_state_changed", "parcel_state_changed"):
            running.site.create_webhook(event_type, f"http://127.0.0.1:1/{event_type}", keys=[b"test-old-key"])
        yield running


@pytest.fixture
def onestock(simulator: Simulator) -> Iterator[OneStock]:
    client = OneStock.connected(OneStockSettings.from_environ(simulator.environ))
    yield client
    client.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.json"


def rotate(onestock: OneStock, journal: Path) -> None:
    rotation = Rotation(onestock, journal, say=lambda _: None, sleep=lambda _: None)
    rotation.run(rotation.old_ones(onestock.list_webhooks()), key=KEY, overlap_seconds=0)


def statuses(simulator: Simulator) -> list[Status]:
    return [webhook.status for webhook in simulator.site.webhooks.values()]


def test_a_stopped_rotation_goes_on_without_a_second_successor(
    simulator: Simulator, onestock: OneStock, journal: Path
) -> None:
    simulator.fail(403, path="/webhooks/WH-2")
    with pytest.raises(OneStockError, match="403"):
        rotate(onestock, journal)
    assert statuses(simulator) == [Status.PAUSED, Status.ENABLED, Status.ENABLED, Status.ENABLED]

    rotate(onestock, journal)

    assert statuses(simulator) == [Status.DISABLED] * 2 + [Status.ENABLED] * 2


def test_a_successor_that_fails_puts_the_old_ones_back(simulator: Simulator, onestock: OneStock, journal: Path) -> None:
    simulator.fail(403, path="/webhooks/WH-1")
    with pytest.raises(OneStockError):
        rotate(onestock, journal)
    simulator.site.webhooks["WH-4"].set_status(Status.DISABLED)

    with pytest.raises(OneStockError, match="WH-4: not enabled, so the old webhooks send again"):
        rotate(onestock, journal)

    assert statuses(simulator)[:2] == [Status.ENABLED, Status.ENABLED]


def test_a_webhook_that_just_repeats_is_not_rotated(simulator: Simulator, onestock: OneStock, journal: Path) -> None:
    simulator.site.webhooks["WH-1"].set_status(Status.PAUSED)

    with pytest.raises(ConfigurationError, match="WH-1: not enabled"):
        rotate(onestock, journal)

    assert len(simulator.site.webhooks) == 2


def test_a_journal_of_something_else_is_refused(onestock: OneStock, journal: Path) -> None:
    journal.write_text("[1]")

    with pytest.raises(ConfigurationError, match="no journal of a rotation"):
        rotate(onestock, journal)
