"""What every idempotency store promises. A store is added by giving it a fixture parameter."""

from collections.abc import Callable

import pytest

from relay.errors import ClaimLost
from relay.stores import Busy, Claim, Completion, Done, Store
from relay.stores.memory import MemoryStore

LEASE_SECONDS = 10
RETENTION_SECONDS = 100


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=[MemoryStore], ids=["memory"])
def store(request: pytest.FixtureRequest, clock: Clock) -> Store:
    make: Callable[[Clock], Store] = request.param
    return make(clock)


def claim(store: Store, *, generation: int = 0, reruns_completed: bool = False) -> Claim | Busy | Done:
    return store.claim(
        "event/handler", generation=generation, reruns_completed=reruns_completed, lease_seconds=LEASE_SECONDS
    )


def held(store: Store) -> Claim:
    got = claim(store)
    assert isinstance(got, Claim)
    return got


def test_a_second_delivery_is_told_that_the_first_runs(store: Store) -> None:
    held(store)

    assert claim(store) == Busy()


@pytest.mark.parametrize("completion", Completion)
def test_a_completed_run_is_remembered_for_the_retention(store: Store, clock: Clock, completion: Completion) -> None:
    store.complete(held(store), completion, retention_seconds=RETENTION_SECONDS)
    clock.seconds = RETENTION_SECONDS - 1
    remembered = claim(store)
    clock.seconds = RETENTION_SECONDS + 1

    assert remembered == Done(completion)
    assert isinstance(claim(store), Claim)


def test_a_released_claim_is_free_at_once(store: Store) -> None:
    store.release(held(store))

    assert isinstance(claim(store), Claim)


def test_a_dead_holder_is_replaced_when_its_lease_ends(store: Store, clock: Clock) -> None:
    first = held(store)
    clock.seconds = LEASE_SECONDS + 1

    assert held(store).token > first.token


def test_a_late_holder_can_write_nothing(store: Store, clock: Clock) -> None:
    late = held(store)
    clock.seconds = LEASE_SECONDS + 1
    held(store)

    with pytest.raises(ClaimLost, match="ended before its run did"):
        store.complete(late, Completion.HANDLED, retention_seconds=RETENTION_SECONDS)
    with pytest.raises(ClaimLost, match="ended before its run did"):
        store.release(late)

    assert claim(store) == Busy()


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
    store: Store, completion: Completion, *, reruns_completed: bool, may_run: bool
) -> None:
    store.complete(held(store), completion, retention_seconds=RETENTION_SECONDS)

    got = claim(store, generation=1, reruns_completed=reruns_completed)

    assert isinstance(got, Claim) == may_run


def test_the_same_generation_never_runs_twice(store: Store) -> None:
    store.complete(held(store), Completion.HANDLED, retention_seconds=RETENTION_SECONDS)

    assert claim(store, generation=0, reruns_completed=True) == Done(Completion.HANDLED)
