"""What every idempotency store promises. A store is added by giving it a fixture parameter."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from relay.errors import ClaimLost, StoreError
from relay.local.emulator import Emulator
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Sequence, Stale, Store
from relay.stores.firestore import FirestoreStore
from relay.stores.memory import MemoryStore

LEASE_SECONDS = 10
RETENTION_SECONDS = 100
WINDOW_SECONDS = 50
START = 1_735_689_600.0


class PassingTime:
    """Time that stands still, so that a slow machine ends no lease, and jumps when a test lets it pass."""

    def __init__(self) -> None:
        self._jumps: list[tuple[float, float]] = []

    def passes(self, seconds: float) -> None:
        self._jumps.append((time.time(), seconds))

    def at(self, moment: datetime) -> float:
        """Return when it was, in Unix seconds, at what the clock on the wall calls `moment`."""
        return START + sum(seconds for since, seconds in self._jumps if since < moment.timestamp())

    def now(self) -> float:
        return self.at(datetime.now(UTC))


@dataclass
class Bench:
    """A store, time that passes when the test says so, and keys that no other test uses."""

    store: Store
    time: "PassingTime"
    unique: str = field(default_factory=lambda: uuid.uuid4().hex)

    def passes(self, seconds: float) -> None:
        self.time.passes(seconds)

    def request(self, event: str = "e1") -> ClaimRequest:
        return ClaimRequest(key=f"{self.unique}-{event}/handler", lease_seconds=LEASE_SECONDS)

    def of_order(self, event: str, moment: float) -> ClaimRequest:
        return replace(self.request(event), sequence=Sequence(f"latest/{self.unique}/handler", moment))

    def of_change(self, event: str, *seconds: int, is_synthetic: bool = False) -> ClaimRequest:
        """Return the request of an event that tells of a change in one of these seconds."""
        return replace(
            self.request(event),
            event_id=event,
            change_keys=tuple(f"{self.unique}-picked-{second}/handler" for second in seconds),
            is_synthetic=is_synthetic,
        )

    def held(self, request: ClaimRequest | None = None) -> Claim:
        got = self.store.claim(request or self.request())
        assert isinstance(got, Claim)
        return got

    def complete(self, claim: Claim, completion: Completion = Completion.HANDLED) -> None:
        self.store.complete(claim, completion, retention_seconds=RETENTION_SECONDS)


def memory(passing: PassingTime) -> Store:
    return MemoryStore(dateless_window_seconds=WINDOW_SECONDS, clock=passing.now)


def firestore(passing: PassingTime) -> Store:
    return FirestoreStore(
        project="test-relay",
        database="(default)",
        dateless_window_seconds=WINDOW_SECONDS,
        clock=passing.now,
        lease_clock=passing.at,
    )


@pytest.fixture(params=[memory, firestore], ids=["memory", "firestore"])
def bench(request: pytest.FixtureRequest, firestore_emulator: Emulator) -> Bench:
    assert firestore_emulator.host
    passing = PassingTime()
    return Bench(request.param(passing), passing)


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


@pytest.mark.parametrize(("seconds_apart", "is_the_same"), [(WINDOW_SECONDS - 1, True), (WINDOW_SECONDS + 1, False)])
def test_equal_events_without_a_date_are_two_if_they_arrive_far_apart(
    bench: Bench, seconds_apart: float, *, is_the_same: bool
) -> None:
    bench.complete(bench.held(replace(bench.request(), received_at=1_000)))

    got = bench.store.claim(replace(bench.request(), received_at=1_000 + seconds_apart))

    assert (got == Done(Completion.HANDLED)) == is_the_same


def test_a_late_redelivery_of_an_event_without_a_date_is_still_done(bench: Bench) -> None:
    dateless = replace(bench.request(), received_at=1_000)
    bench.complete(bench.held(dateless))
    bench.passes(RETENTION_SECONDS - 1)

    assert bench.store.claim(dateless) == Done(Completion.HANDLED)


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

    claims = [bench.held(one), bench.held(other)]
    for claim in claims:
        bench.complete(claim)

    assert [bench.store.claim(event) for event in (one, other)] == [Done(Completion.HANDLED)] * 2


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


def test_of_a_synthetic_event_and_what_onestock_sent_one_runs(bench: Bench) -> None:
    together = threading.Barrier(8)

    def compete(request: ClaimRequest) -> bool:
        together.wait()
        return isinstance(bench.store.claim(request), Claim)

    for race in range(0, 200, 10):
        sent = bench.of_change(f"sent-{race}", race)
        synthetic = bench.of_change(f"made-{race}", race, race - 1, race + 1, is_synthetic=True)
        with ThreadPoolExecutor(8) as pool:
            won = sum(pool.map(compete, [sent, synthetic] * 4))

        assert won == 1


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
