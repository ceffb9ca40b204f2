"""Both memories of the watchdog keep what they are told."""

import uuid
from collections.abc import Callable

import pytest

from relay.local.emulator import Emulator
from relay.stores.firestore_sightings import FirestoreSightings
from relay.stores.sightings import MemorySightings, Sighting, Sightings


@pytest.fixture(params=["memory", "firestore"])
def reopened(request: pytest.FixtureRequest) -> Callable[[], Sightings]:
    """Open the same memory as another process would."""
    if request.param == "memory":
        only = MemorySightings()
        return lambda: only
    emulator: Emulator = request.getfixturevalue("firestore_emulator")
    assert emulator.host
    return lambda: FirestoreSightings(project="test-relay", database="(default)")


def test_what_was_put_is_got_by_whoever_asks(reopened: Callable[[], Sightings]) -> None:
    webhook_id = f"any/id {uuid.uuid4().hex}"
    unseen = reopened().get(webhook_id)

    reopened().put(webhook_id, Sighting(enabled_at=1_735_689_600.5))
    reopened().put(webhook_id, Sighting(enabled_at=1_735_689_600.5, is_down=True))

    assert unseen == Sighting()
    assert reopened().get(webhook_id) == Sighting(enabled_at=1_735_689_600.5, is_down=True)
