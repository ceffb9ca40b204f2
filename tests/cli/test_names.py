"""A handler is found by any ending of its name, and a name that fits nothing is answered with those that do."""

from pathlib import Path

import pytest

from tests.support.invented_lines import FAILING, invented_events
from tests.support.log_files import written
from tests.support.parts import Tool


@pytest.fixture
def log(tmp_path: Path) -> str:
    return f"--lines={written(tmp_path / 'log', invented_events(12))}"


@pytest.mark.parametrize("handler", ["bill_parcel", "parcels.bill_parcel", FAILING])
def test_a_handler_is_found_by_any_ending_at_a_dot(log: str, handler: str) -> None:
    assert len(Tool({}).json("events", log, "--handler", handler)["events"]) == 12


@pytest.mark.parametrize("handler", ["parcel", "ill_parcel"])
def test_a_handler_that_was_not_seen_is_answered_with_those_that_were(log: str, handler: str) -> None:
    told = Tool({}).run("events", log, "--handler", handler)

    assert told.returncode == 1
    assert f"Handlers that were seen: {FAILING}" in told.stderr


def test_an_event_type_that_was_not_seen_is_answered_with_those_that_were(log: str) -> None:
    told = Tool({}).run("events", log, "--event-type", "order_state_change")

    assert told.returncode == 1
    assert "Event types that were seen: order_state_changed, parcel_state_changed" in told.stderr
