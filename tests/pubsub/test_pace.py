"""A pace lets events go no faster than asked, whoever waits for it."""

import pytest

from relay.pubsub.pace import Pace


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


def test_many_that_wait_at_once_get_turns_one_after_another() -> None:
    waits: list[float] = []
    pace = Pace(10, clock=lambda: 0.0, sleep=waits.append)

    for _ in range(4):
        pace.wait()

    assert waits == pytest.approx([0.1, 0.2, 0.3])


def test_a_pace_of_zero_never_waits() -> None:
    def sleep(seconds: float) -> None:
        pytest.fail(f"waited {seconds} s")

    pace = Pace(0, clock=lambda: 0.0, sleep=sleep)

    for _ in range(100):
        pace.wait()
