"""What makes two events tell of the same change: order, new state and date."""

import pytest

from relay.onestock.changes import Change

CHANGE = Change(order_id="ORD-1", new_state="fulfilled", date=1_735_689_600)


def test_a_change_is_known_by_each_second_that_its_date_may_mean_the_likeliest_first() -> None:
    exact, *others = CHANGE.identities(tolerance_seconds=1)

    assert [exact] == CHANGE.identities(tolerance_seconds=0)
    assert len({exact, *others}) == 3


@pytest.mark.parametrize("other", [{"order_id": "ORD-2"}, {"new_state": "removed"}, {"date": 1_735_689_700}])
def test_another_order_state_or_date_is_another_change(other: dict[str, str | int]) -> None:
    fields = {"order_id": "ORD-1", "new_state": "fulfilled", "date": 1_735_689_600, **other}

    change = Change.in_event("order_state_changed", fields)

    assert change is not None
    assert set(change.identities(tolerance_seconds=2)).isdisjoint(CHANGE.identities(tolerance_seconds=2))


@pytest.mark.parametrize("missing", ["order_id", "new_state", "date"])
def test_a_body_that_does_not_say_all_three_tells_of_no_change(missing: str) -> None:
    fields = {"order_id": "ORD-1", "new_state": "fulfilled", "date": 1_735_689_600}
    del fields[missing]

    assert Change.in_event("order_state_changed", fields) is None
