"""What every idempotency store promises of equal events without a date, which the time of receipt tells apart."""

from dataclasses import replace

import pytest

from relay.errors import ClaimLost
from relay.stores import Claim, ClaimRequest, Completion, Done
from relay.stores.records import ENDED_RUNS_KEPT
from tests.stores.conftest import LEASE_SECONDS, RETENTION_SECONDS, WINDOW_SECONDS, Bench

FAR_APART_SECONDS = WINDOW_SECONDS + 1
HANDLED, REJECTED = Done(Completion.HANDLED), Done(Completion.REJECTED)


def received(bench: Bench, number: int, *, later: float = 0, generation: int = 0) -> ClaimRequest:
    """Return the request of one of several equal events that arrived far apart."""
    received_at = 1_000 + number * FAR_APART_SECONDS + later
    return replace(bench.request(), received_at=received_at, generation=generation)


@pytest.mark.parametrize(("seconds_apart", "is_the_same"), [(WINDOW_SECONDS - 1, True), (WINDOW_SECONDS + 1, False)])
def test_equal_events_are_two_if_they_arrive_far_apart(
    bench: Bench, seconds_apart: float, *, is_the_same: bool
) -> None:
    bench.complete(bench.held(received(bench, 0)))

    got = bench.store.claim(received(bench, 0, later=seconds_apart))

    assert (got == HANDLED) == is_the_same


def test_a_late_redelivery_is_still_done(bench: Bench) -> None:
    bench.complete(bench.held(received(bench, 0)))
    bench.passes(RETENTION_SECONDS - 1)

    assert bench.store.claim(received(bench, 0)) == HANDLED


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_each_of_several_equal_events_stays_done(bench: Bench, order: tuple[int, ...]) -> None:
    for number in order:
        bench.complete(bench.held(received(bench, number)))

    assert [bench.store.claim(received(bench, number)) for number in range(3)] == [HANDLED] * 3


def test_an_equal_event_that_failed_leaves_the_others_done(bench: Bench) -> None:
    bench.complete(bench.held(received(bench, 0)))
    bench.store.release(bench.held(received(bench, 1)))
    bench.complete(bench.held(received(bench, 2)))

    assert bench.store.claim(received(bench, 0)) == HANDLED
    assert isinstance(bench.store.claim(received(bench, 1)), Claim)


def test_a_late_holder_cannot_hide_what_an_equal_event_completed(bench: Bench) -> None:
    late = bench.held(received(bench, 0))
    bench.passes(LEASE_SECONDS + 1)
    bench.complete(bench.held(received(bench, 1)))

    with pytest.raises(ClaimLost, match="ended before its run did"):
        bench.complete(late)

    assert bench.store.claim(received(bench, 1)) == HANDLED


def test_a_redrive_runs_the_equal_event_that_was_rejected_and_no_other(bench: Bench) -> None:
    bench.complete(bench.held(received(bench, 0)), Completion.REJECTED)
    bench.complete(bench.held(received(bench, 1)))

    assert bench.store.claim(received(bench, 0)) == REJECTED
    assert bench.store.claim(received(bench, 1, generation=1)) == HANDLED
    bench.complete(bench.held(received(bench, 0, generation=1)))
    assert [bench.store.claim(received(bench, number, generation=1)) for number in (0, 1)] == [HANDLED] * 2


def test_a_replay_runs_each_equal_event_once(bench: Bench) -> None:
    replays = [replace(received(bench, number, generation=1), reruns_completed=True) for number in range(2)]
    for number in range(2):
        bench.complete(bench.held(received(bench, number)))

    for replay in replays:
        bench.complete(bench.held(replay))

    assert [bench.store.claim(replay) for replay in replays] == [HANDLED] * 2


def test_of_two_equal_events_nearby_the_one_received_at_the_same_moment_counts(bench: Bench) -> None:
    bench.complete(bench.held(received(bench, 0)), Completion.REJECTED)
    bench.complete(bench.held(received(bench, 1)))

    nearby = [bench.store.claim(received(bench, 0, later=seconds)) for seconds in (5, FAR_APART_SECONDS - 5)]

    assert nearby == [REJECTED, HANDLED]


def test_of_very_many_equal_events_those_that_ended_last_stay_done(bench: Bench) -> None:
    for number in range(ENDED_RUNS_KEPT + 1):
        bench.complete(bench.held(received(bench, number)))

    assert bench.store.claim(received(bench, 1)) == HANDLED
    assert isinstance(bench.store.claim(received(bench, 0)), Claim)
