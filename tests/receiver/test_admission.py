"""What is under way is counted exactly, whatever happens to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Overloaded
from relay.receiver.admission import Admission


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    return Admission(max_webhooks=2, max_body_bytes=100, body_seconds=10, clock=clock)


def no_need() -> None:
    raise AssertionError("nobody needs the place")


def test_a_place_that_is_left_is_free_again(admission: Admission) -> None:
    for _ in range(5):
        with admission.place() as place:
            place.enter(no_need)
            place.add(100)


def test_one_webhook_more_than_allowed_is_refused_and_takes_nothing(admission: Admission) -> None:
    with admission.place() as first, admission.place() as second:
        first.enter(no_need)
        second.enter(no_need)
        with admission.place() as third, pytest.raises(Overloaded, match="MAX_WAITING_PUBLISHES"):
            third.enter(no_need)
        second.add(100)

    with admission.place() as place:
        place.enter(no_need)


def test_a_byte_more_than_allowed_is_refused_and_takes_nothing(admission: Admission) -> None:
    with admission.place() as first, admission.place() as second:
        first.enter(no_need)
        second.enter(no_need)
        first.add(60)
        with pytest.raises(Overloaded, match="MAX_BYTES_UNDER_WAY"):
            second.add(41)
        second.add(40)


def test_a_sender_that_takes_too_long_for_its_body_loses_its_place_to_the_next(
    admission: Admission, clock: Clock
) -> None:
    ended: list[str] = []
    with admission.place() as slow, admission.place() as whole, admission.place() as third:
        slow.enter(lambda: ended.append("slow"))
        whole.enter(no_need)
        whole.keep()
        clock.now = 9.9
        with pytest.raises(Overloaded):
            third.enter(no_need)
        clock.now = 10.0
        third.enter(no_need)
        with admission.place() as fourth, pytest.raises(Overloaded):
            fourth.enter(no_need)

        assert (ended, slow.is_lost, whole.is_lost) == (["slow"], True, False)


@given(pieces=st.lists(st.lists(st.integers(0, 60), max_size=4), max_size=10))
def test_whatever_was_refused_everything_is_free_in_the_end(pieces: list[list[int]]) -> None:
    admission = Admission(max_webhooks=2, max_body_bytes=100)
    for sizes in pieces:
        try:
            with admission.place() as place:
                place.enter(no_need)
                for size in sizes:
                    place.add(size)
        except Overloaded:
            assert sum(sizes) > 100

    with admission.place() as first, admission.place() as second:
        first.enter(no_need)
        second.enter(no_need)
        first.add(100)
