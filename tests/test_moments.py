"""A moment is read as it was meant, in UTC, or is not understood."""

from datetime import UTC, datetime

import pytest

from relay import moments


def test_a_moment_of_another_zone_is_the_same_moment_in_utc() -> None:
    found = moments.from_text("2026-01-31T09:30:00+02:00")

    assert (found, found and found.tzinfo) == (datetime(2026, 1, 31, 7, 30, tzinfo=UTC), UTC)


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00+12:00", "0001-01-01", "9999-12-31", "tomorrow", ""]
)
def test_a_moment_that_no_calendar_in_utc_has_is_not_understood(text: str) -> None:
    assert moments.from_text(text) is None
    assert moments.typed(text) is None
