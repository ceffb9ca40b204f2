"""A commit that Firestore applied blocks nobody, whatever the worker was told about it; and clocks do no harm."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from relay.errors import StoreError
from relay.local.emulator import Emulator
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Sequence, Stale
from relay.stores.firestore import FirestoreStore
from tests.support.firestore_proxy import FirestoreProxy, firestore_proxy
from tests.support.waiting import wait_until

LEASE_SECONDS = 300
A_DAY_SECONDS = 86_400
A_MINUTE_SECONDS = 60


@pytest.fixture
def proxy(firestore_emulator: Emulator) -> Iterator[FirestoreProxy]:
    with firestore_proxy(firestore_emulator.host) as running:
        yield running


def connected(*, clock_error_seconds: float = 0) -> FirestoreStore:
    return FirestoreStore(
        project="test-relay",
        database="(default)",
        dateless_window_seconds=3_600,
        clock=lambda: time.time() + clock_error_seconds,
    )


@pytest.fixture
def behind(proxy: FirestoreProxy, monkeypatch: pytest.MonkeyPatch) -> FirestoreStore:
    """Return the store of a worker whose answers get lost."""
    with monkeypatch.context() as patched:
        patched.setenv("FIRESTORE_EMULATOR_HOST", proxy.host)
        return connected()


@pytest.fixture
def other(firestore_emulator: Emulator) -> FirestoreStore:
    """Return the store of another worker."""
    assert firestore_emulator.host
    return connected()


@pytest.fixture
def wanted() -> ClaimRequest:
    return request_of(uuid.uuid4().hex)


def request_of(name: str, *, lease_seconds: float = LEASE_SECONDS) -> ClaimRequest:
    return ClaimRequest(key=f"{name}/handler", event_id=name, lease_seconds=lease_seconds)


def held(store: FirestoreStore, request: ClaimRequest) -> Claim:
    got = store.claim(request)
    assert isinstance(got, Claim), got
    return got


def complete(store: FirestoreStore, claim: Claim) -> None:
    store.complete(claim, Completion.HANDLED, retention_seconds=A_DAY_SECONDS)


def claim_and_never_learn_of_it(store: FirestoreStore, proxy: FirestoreProxy, request: ClaimRequest) -> None:
    """Claim where the answer is lost, and no question about it is answered for a while."""
    proxy.lose_answer(then_silent=True)
    with pytest.raises(StoreError, match="Firestore does not answer"):
        store.claim(request)
    proxy.is_silent = False


def test_a_claim_that_was_applied_and_answered_aborted_is_ours(
    behind: FirestoreStore, proxy: FirestoreProxy, wanted: ClaimRequest
) -> None:
    proxy.abort_applied()

    claim = held(behind, wanted)
    complete(behind, claim)

    assert behind.claim(wanted) == Done(Completion.HANDLED)


def test_a_claim_that_was_applied_and_never_answered_is_ours(
    behind: FirestoreStore, proxy: FirestoreProxy, other: FirestoreStore, wanted: ClaimRequest
) -> None:
    proxy.lose_answer()

    claim = held(behind, wanted)

    assert other.claim(wanted) == Busy()
    complete(behind, claim)


def test_a_claim_that_was_never_answered_keeps_what_an_equal_event_completed(
    behind: FirestoreStore, proxy: FirestoreProxy, wanted: ClaimRequest
) -> None:
    one, other = (replace(wanted, received_at=received_at) for received_at in (0, A_DAY_SECONDS))
    complete(behind, held(behind, one))
    proxy.lose_answer()

    complete(behind, held(behind, other))

    assert [behind.claim(event) for event in (one, other)] == [Done(Completion.HANDLED)] * 2


def test_a_claim_that_nobody_could_learn_of_is_free_for_the_next_delivery(
    behind: FirestoreStore, proxy: FirestoreProxy, other: FirestoreStore, wanted: ClaimRequest
) -> None:
    claim_and_never_learn_of_it(behind, proxy, wanted)

    elsewhere = other.claim(wanted)
    again = behind.claim(wanted)

    assert elsewhere == Busy()
    assert isinstance(again, Claim)


def test_a_worker_gives_back_for_the_others_what_it_could_not_learn_of(
    behind: FirestoreStore, proxy: FirestoreProxy, other: FirestoreStore, wanted: ClaimRequest
) -> None:
    claim_and_never_learn_of_it(behind, proxy, wanted)

    held(behind, request_of(uuid.uuid4().hex))

    assert isinstance(other.claim(wanted), Claim)


def test_a_claim_is_given_back_although_the_answer_was_lost(
    behind: FirestoreStore, proxy: FirestoreProxy, other: FirestoreStore, wanted: ClaimRequest
) -> None:
    claim = held(behind, wanted)
    proxy.abort_applied()

    behind.release(claim)

    assert isinstance(other.claim(wanted), Claim)


def test_a_claim_that_a_silent_store_kept_is_given_back_later(
    behind: FirestoreStore, proxy: FirestoreProxy, other: FirestoreStore, wanted: ClaimRequest
) -> None:
    claim = held(behind, wanted)
    proxy.is_silent = True
    with pytest.raises(StoreError, match="Firestore does not answer"):
        behind.release(claim)
    proxy.is_silent = False

    held(behind, request_of(uuid.uuid4().hex))

    assert isinstance(other.claim(wanted), Claim)


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_completion_that_was_answered_aborted_is_recorded(
    behind: FirestoreStore, proxy: FirestoreProxy, wanted: ClaimRequest, *, is_applied: bool
) -> None:
    claim = held(behind, wanted)
    if is_applied:
        proxy.abort_applied()
    else:
        proxy.abort(times=3)

    complete(behind, claim)

    assert behind.claim(wanted) == Done(Completion.HANDLED)


@pytest.mark.parametrize("fast", [-A_MINUTE_SECONDS, A_MINUTE_SECONDS])
def test_workers_whose_clocks_differ_by_a_minute_agree_on_a_lease(
    firestore_emulator: Emulator, fast: float, wanted: ClaimRequest
) -> None:
    assert firestore_emulator.host
    one, other = connected(), connected(clock_error_seconds=fast)
    short = request_of(uuid.uuid4().hex, lease_seconds=1)

    claims = [held(one, wanted), held(one, short)]
    meanwhile = other.claim(wanted)
    successor = wait_until(lambda: claim_or_nothing(other, short), within=30)

    assert successor is not None
    assert meanwhile == Busy()
    assert one.holds(claims[0], for_seconds=1)
    assert not one.holds(claims[1], for_seconds=0)
    assert other.holds(successor, for_seconds=0)


def claim_or_nothing(store: FirestoreStore, request: ClaimRequest) -> Claim | None:
    got = store.claim(request)
    return got if isinstance(got, Claim) else None


@pytest.mark.parametrize("in_order", [False, True])
def test_ten_workers_that_claim_complete_and_release_at_once_end_right(
    firestore_emulator: Emulator, *, in_order: bool
) -> None:
    assert firestore_emulator.host
    unique, workers = uuid.uuid4().hex, [connected() for _ in range(10)]
    events = [sequenced(unique, number) if in_order else request_of(f"{unique}-{number}") for number in range(8)]
    completed: list[str] = []

    def work(store: FirestoreStore) -> None:
        for number, event in enumerate(events):
            run_until_done(store, event, completed, fails_first=number % 3 == 0)

    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(work, workers))

    assert len(completed) == len(set(completed))
    assert in_order or len(completed) == len(events)


def sequenced(unique: str, number: int) -> ClaimRequest:
    name = f"{unique}-{number}"
    sequence = Sequence(f"latest/{unique}/handler", float(number))
    return ClaimRequest(key=f"{name}/handler", event_id=name, lease_seconds=LEASE_SECONDS, sequence=sequence)


def run_until_done(store: FirestoreStore, event: ClaimRequest, completed: list[str], *, fails_first: bool) -> None:
    """Deliver the event to one worker until it is done; the first run that it gets fails, if so wanted."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        got = store.claim(event)
        if isinstance(got, Done | Stale):
            return
        if isinstance(got, Busy):
            time.sleep(0.01)
        elif fails_first:
            fails_first = False
            store.release(got)
        else:
            store.complete(got, Completion.HANDLED, retention_seconds=A_DAY_SECONDS)
            completed.append(event.event_id)
    raise AssertionError(f"{event.key} was never done")
