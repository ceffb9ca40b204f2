"""What every idempotency store promises of a synthetic event and of what OneStock sent for the same change."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from relay.errors import ClaimLost
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done
from relay.stores.records import CLOCKS_DIFFER_SECONDS
from tests.stores.conftest import LEASE_SECONDS, Bench

A_DAY_SECONDS = 86_400


@pytest.mark.parametrize("synthetic_first", [False, True])
def test_a_synthetic_event_and_what_onestock_sent_for_its_change_are_one_run(
    bench: Bench, *, synthetic_first: bool
) -> None:
    first = bench.of_change("e1", 5, is_synthetic=synthetic_first)
    second = bench.of_change("e2", 5, is_synthetic=not synthetic_first)

    claim = bench.held(first)
    meanwhile = bench.store.claim(second)
    bench.complete(claim)
    then = bench.store.claim(second)

    assert meanwhile == Busy()
    assert then == Done(Completion.HANDLED)
    assert isinstance(then, Done)
    assert then.event_id == "e1"


@pytest.mark.parametrize("synthetic_first", [False, True])
def test_the_dates_of_one_change_may_differ_a_little(bench: Bench, *, synthetic_first: bool) -> None:
    synthetic = bench.of_change("e1", 5, 4, 6, is_synthetic=True)
    sent = bench.of_change("e2", 6)
    first, second = (synthetic, sent) if synthetic_first else (sent, synthetic)

    bench.complete(bench.held(first))

    assert bench.store.claim(second) == Done(Completion.HANDLED)
    assert isinstance(bench.store.claim(bench.of_change("e3", 7)), Claim)


def test_two_events_of_onestock_are_two_runs_even_if_they_tell_of_one_change(bench: Bench) -> None:
    one, other = bench.of_change("e1", 5), bench.of_change("e2", 5)

    for event in (one, other):
        bench.complete(bench.held(event))

    assert [bench.store.claim(event) for event in (one, other)] == [Done(Completion.HANDLED)] * 2


def test_two_events_of_onestock_that_tell_of_one_change_do_not_run_at_once(bench: Bench) -> None:
    bench.held(bench.of_change("e1", 5))

    assert bench.store.claim(bench.of_change("e2", 5)) == Busy()


def test_an_event_stays_done_for_the_retention_although_another_of_its_change_failed_for_good(bench: Bench) -> None:
    failed, handled = bench.of_change("e1", 5), bench.of_change("e2", 5)
    bench.store.release(bench.held(failed))
    bench.store.complete(bench.held(handled), Completion.HANDLED, retention_seconds=A_DAY_SECONDS)

    bench.passes(LEASE_SECONDS + CLOCKS_DIFFER_SECONDS + 1)

    assert bench.store.claim(handled) == Done(Completion.HANDLED)
    assert isinstance(bench.store.claim(failed), Claim)


def test_a_late_event_cannot_write_once_another_that_onestock_sent_has_taken_over(bench: Bench) -> None:
    late, other = bench.of_change("e1", 5), bench.of_change("e2", 5)
    claim = bench.held(late)
    bench.passes(LEASE_SECONDS + 1)
    bench.complete(bench.held(other))

    with pytest.raises(ClaimLost, match="ended before its run did"):
        bench.complete(claim)

    assert bench.store.claim(other) == Done(Completion.HANDLED)
    assert isinstance(bench.store.claim(late), Claim)


def test_a_synthetic_event_that_failed_leaves_its_change_to_what_onestock_sent(bench: Bench) -> None:
    bench.store.release(bench.held(bench.of_change("e1", 5, 4, 6, is_synthetic=True)))
    bench.complete(bench.held(bench.of_change("e2", 4)))

    assert bench.store.claim(bench.of_change("e1", 5, 4, 6, is_synthetic=True)) == Done(Completion.HANDLED)


def test_a_late_synthetic_event_cannot_write_once_what_onestock_sent_has_taken_over(bench: Bench) -> None:
    late = bench.held(bench.of_change("e1", 5, 4, 6, is_synthetic=True))
    bench.passes(LEASE_SECONDS + 1)
    bench.held(bench.of_change("e2", 4))

    with pytest.raises(ClaimLost, match="ended before its run did"):
        bench.complete(late)

    assert bench.store.claim(bench.of_change("e2", 4)) == Busy()


def test_a_rejected_synthetic_event_says_nothing_about_what_onestock_sends(bench: Bench) -> None:
    synthetic, sent = bench.of_change("e1", 5, 4, 6, is_synthetic=True), bench.of_change("e2", 4)
    bench.complete(bench.held(synthetic), Completion.REJECTED)

    bench.store.release(bench.held(sent))
    bench.complete(bench.held(sent))
    redriven = bench.store.claim(replace(synthetic, generation=7))

    assert redriven == Done(Completion.HANDLED)
    assert bench.store.claim(sent) == Done(Completion.HANDLED)


def test_a_redriven_synthetic_event_that_is_rejected_again_leaves_the_change_open(bench: Bench) -> None:
    synthetic = bench.of_change("e1", 5, is_synthetic=True)
    for generation in (0, 7):
        bench.complete(bench.held(replace(synthetic, generation=generation)), Completion.REJECTED)

    assert bench.store.claim(synthetic) == Done(Completion.REJECTED)
    assert isinstance(bench.store.claim(bench.of_change("e2", 5)), Claim)


def test_what_onestock_sent_and_was_rejected_waits_for_its_redrive(bench: Bench) -> None:
    sent, synthetic = bench.of_change("e1", 5), bench.of_change("e2", 5, is_synthetic=True)
    bench.complete(bench.held(synthetic), Completion.REJECTED)
    bench.complete(bench.held(sent), Completion.REJECTED)

    assert bench.store.claim(sent) == Done(Completion.REJECTED)
    assert bench.store.claim(synthetic) == Done(Completion.REJECTED)
    assert isinstance(bench.store.claim(replace(sent, generation=1)), Claim)


@pytest.mark.parametrize("is_synthetic", [False, True])
def test_of_two_events_that_tell_of_one_change_one_runs_at_a_time(bench: Bench, *, is_synthetic: bool) -> None:
    together = threading.Barrier(8)

    def compete(request: ClaimRequest) -> bool:
        together.wait()
        return isinstance(bench.store.claim(request), Claim)

    for race in range(0, 200, 10):
        sent = bench.of_change(f"sent-{race}", race)
        seconds = (race, race - 1, race + 1) if is_synthetic else (race,)
        other = bench.of_change(f"other-{race}", *seconds, is_synthetic=is_synthetic)
        with ThreadPoolExecutor(8) as pool:
            won = sum(pool.map(compete, [sent, other] * 4))

        assert won == 1
