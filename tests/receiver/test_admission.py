"""What is under way is counted exactly, whatever happens to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Overloaded
from relay.receiver.admission import Admission


@pytest.fixture
def admission() -> Admission:
    return Admission(max_webhooks=2, max_body_bytes=100)


def test_a_place_that_is_left_is_free_again(admission: Admission) -> None:
    for _ in range(5):
        with admission.place() as place:
            place.enter()
            place.add(100)


def test_one_webhook_more_than_allowed_is_refused_and_takes_nothing(admission: Admission) -> None:
    with admission.place() as first, admission.place() as second:
        first.enter()
        second.enter()
        with admission.place() as third, pytest.raises(Overloaded, match="MAX_WAITING_PUBLISHES"):
            third.enter()
        second.add(100)

    with admission.place() as place:
        place.enter()


def test_a_byte_more_than_allowed_is_refused_and_takes_nothing(admission: Admission) -> None:
    with admission.place() as first, admission.place() as second:
        first.enter()
        second.enter()
        first.add(60)
        with pytest.raises(Overloaded, match="MAX_BYTES_UNDER_WAY"):
            second.add(41)
        second.add(40)


@given(pieces=st.lists(st.lists(st.integers(0, 60), max_size=4), max_size=10))
def test_whatever_was_refused_everything_is_free_in_the_end(pieces: list[list[int]]) -> None:
    admission = Admission(max_webhooks=2, max_body_bytes=100)
    for sizes in pieces:
        try:
            with admission.place() as place:
                place.enter()
                for size in sizes:
                    place.add(size)
        except Overloaded:
            assert sum(sizes) > 100

    with admission.place() as first, admission.place() as second:
        first.enter()
        second.enter()
        first.add(100)
