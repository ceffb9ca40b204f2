"""What every idempotency store promises of one event and of the events of one order; conftest.py names the stores."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from relay.errors import ClaimLost, StoreError
from relay.local.emulator import Emulator
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Stale
from tests.stores.conftest import LEASE_SECONDS, RETENTION_SECONDS, Bench, PassingTime, firestore


def test_a_second_delivery_is_told_that_the_first_runs(bench: Bench) -> None:
    bench.held()

    assert bench.store.claim(bench.request()) == Busy()


@pytest.mark.parametrize("completion", Completion)
def test_a_completed_run_is_remembered_for_the_retention(bench: Bench, completion: Completion) -> None:
    bench.complete(bench.held(), completion)
    bench.passes(RETENTION_SECONDS - 1)
    remembered = bench.store.claim(bench.request())
    bench.passes(2)

    assert remembered == Done(completion)
    assert isinstance(bench.store.claim(bench.request()), Claim)


def test_a_released_claim_is_free_at_once(bench: Bench) -> None:
    bench.store.release(bench.held())

    assert isinstance(bench.store.claim(bench.request()), Claim)


def test_a_dead_holder_is_replaced_when_its_lease_ends(bench: Bench) -> None:
    first = bench.held()
    bench.passes(LEASE_SECONDS + 1)

    assert bench.held().token > first.token


def test_a_token_is_higher_than_that_of_a_released_claim(bench: Bench) -> None:
    first = bench.held()
    bench.store.release(first)

    assert bench.held().token > first.token


def test_a_late_holder_can_write_nothing(bench: Bench) -> None:
    late = bench.held()
    bench.passes(LEASE_SECONDS + 1)
    bench.held()

    with pytest.raises(ClaimLost, match="ended before its run did"):
        bench.complete(late)
    with pytest.raises(ClaimLost, match="ended before its run did"):
        bench.store.release(late)

    assert bench.store.claim(bench.request()) == Busy()


def test_a_late_holder_cannot_undo_what_its_successor_completed(bench: Bench) -> None:
    late = bench.held()
    bench.passes(LEASE_SECONDS + 1)
    bench.complete(bench.held())

    with pytest.raises(ClaimLost, match="ended before its run did"):
        bench.complete(late, Completion.REJECTED)

    assert bench.store.claim(bench.request()) == Done(Completion.HANDLED)


def test_completing_twice_is_completing_once(bench: Bench) -> None:
    claim = bench.held()
    bench.complete(claim)

    bench.complete(claim)

    assert bench.store.claim(bench.request()) == Done(Completion.HANDLED)


@pytest.mark.parametrize(
    ("completion", "reruns_completed", "may_run"),
    [
        (Completion.REJECTED, False, True),
        (Completion.REJECTED, True, True),
        (Completion.HANDLED, False, False),
        (Completion.HANDLED, True, True),
    ],
)
def test_a_new_generation_runs_what_it_is_meant_for(
    bench: Bench, completion: Completion, *, reruns_completed: bool, may_run: bool
) -> None:
    bench.complete(bench.held(), completion)

    got = bench.store.claim(replace(bench.request(), generation=1, reruns_completed=reruns_completed))

    assert isinstance(got, Claim) == may_run


def test_the_same_generation_never_runs_twice(bench: Bench) -> None:
    bench.complete(bench.held())

    assert bench.store.claim(replace(bench.request(), reruns_completed=True)) == Done(Completion.HANDLED)


def test_a_replay_that_failed_leaves_the_earlier_run_done(bench: Bench) -> None:
    bench.complete(bench.held())

    bench.store.release(bench.held(replace(bench.request(), generation=1, reruns_completed=True)))

    assert bench.store.claim(bench.request()) == Done(Completion.HANDLED)


def test_an_older_event_of_an_order_is_stale_and_one_of_the_same_second_is_not(bench: Bench) -> None:
    bench.complete(bench.held(bench.of_order("e1", 20)))

    older, equal = bench.store.claim(bench.of_order("e2", 19)), bench.store.claim(bench.of_order("e3", 20))

    assert older == Stale(20)
    assert isinstance(equal, Claim)


def test_only_a_handled_event_makes_older_ones_stale(bench: Bench) -> None:
    bench.store.release(bench.held(bench.of_order("e1", 20)))
    bench.complete(bench.held(bench.of_order("e2", 20)), Completion.REJECTED)

    assert isinstance(bench.store.claim(bench.of_order("e3", 10)), Claim)


def test_two_events_of_an_order_do_not_run_at_once(bench: Bench) -> None:
    first = bench.held(bench.of_order("e1", 10))
    meanwhile = bench.store.claim(bench.of_order("e2", 20))
    bench.complete(first)

    assert meanwhile == Busy()
    assert isinstance(bench.store.claim(bench.of_order("e2", 20)), Claim)


def test_an_order_is_free_again_when_its_dead_holders_lease_ends(bench: Bench) -> None:
    late = bench.held(bench.of_order("e1", 10))
    bench.passes(LEASE_SECONDS + 1)
    bench.complete(bench.held(bench.of_order("e2", 20)))

    assert bench.store.claim(bench.of_order("e1", 10)) == Stale(20)
    with pytest.raises(ClaimLost, match="ended before its run did"):
        bench.complete(late)


def test_a_claim_holds_until_its_lease_ends_or_another_delivery_has_it(bench: Bench) -> None:
    claim = bench.held()

    holds = [bench.store.holds(claim, for_seconds=seconds) for seconds in (0, LEASE_SECONDS - 2, LEASE_SECONDS + 1)]
    bench.passes(LEASE_SECONDS + 1)
    holds_late = bench.store.holds(claim, for_seconds=0)
    successor = bench.held()

    assert (holds, holds_late) == ([True, True, False], False)
    assert not bench.store.holds(claim, for_seconds=0)
    assert bench.store.holds(successor, for_seconds=0)


def test_a_claim_that_was_given_back_or_completed_does_not_hold(bench: Bench) -> None:
    released, completed = bench.held(), bench.held(bench.request("e2"))
    bench.store.release(released)
    bench.complete(completed)

    assert not bench.store.holds(released, for_seconds=0)
    assert not bench.store.holds(completed, for_seconds=0)


@pytest.mark.parametrize("in_order", [False, True])
def test_of_many_rivals_one_has_the_claim(bench: Bench, *, in_order: bool) -> None:
    rivals = 8
    together = threading.Barrier(rivals)

    def compete(request: ClaimRequest) -> bool:
        together.wait()
        return isinstance(bench.store.claim(request), Claim)

    for race in range(20):
        request = bench.of_order(f"race-{race}", race) if in_order else bench.request(f"race-{race}")
        with ThreadPoolExecutor(rivals) as pool:
            won = sum(pool.map(compete, [request] * rivals))
        bench.passes(LEASE_SECONDS + 1)

        assert won == 1


def test_a_frozen_firestore_is_a_store_error_and_then_works_again(firestore_emulator: Emulator) -> None:
    bench = Bench(firestore(PassingTime()), PassingTime())
    bench.complete(bench.held(bench.request("before")))
    firestore_emulator.freeze()
    try:
        with pytest.raises(StoreError, match="Firestore does not answer"):
            bench.store.claim(bench.request())
    finally:
        firestore_emulator.thaw()

    assert bench.store.claim(bench.request("before")) == Done(Completion.HANDLED)
