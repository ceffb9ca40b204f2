"""Claim, run, settle: work is done once, a failure gives the claim back, a silent store is asked again and again."""

from typing import Any

import pytest

from relay.errors import ClaimLost, NotRecorded, StoreError
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done
from relay.stores.memory import MemoryStore
from relay.stores.once import Hold, Once

LEASE_SECONDS = 30
REQUEST = ClaimRequest(key="e1/handler", event_id="e1", lease_seconds=LEASE_SECONDS)


class SilentStore(MemoryStore):
    """A store whose next answers to `complete` and `release` get lost; pauses put its clock forward."""

    def __init__(self) -> None:
        super().__init__(dateless_window_seconds=3_600, clock=lambda: self.now)
        self.now = 0.0
        self.silences = 0

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def complete(self, *arguments: Any, **more: Any) -> None:
        self._be_silent()
        super().complete(*arguments, **more)

    def release(self, claim: Claim) -> None:
        self._be_silent()
        super().release(claim)

    def _be_silent(self) -> None:
        if self.silences:
            self.silences -= 1
            raise StoreError("invented: no answer")


@pytest.fixture
def store() -> SilentStore:
    return SilentStore()


@pytest.fixture
def once(store: SilentStore) -> Once:
    return Once(store, retention_seconds=3_600, clock=lambda: store.now, sleep=store.pause)


def succeed(_: Hold) -> tuple[Completion, str]:
    return Completion.HANDLED, "value"


def test_work_that_is_done_is_not_done_again(once: Once) -> None:
    ends = [once.run(REQUEST, succeed) for _ in range(2)]

    assert ends == ["value", Done(Completion.HANDLED)]


@pytest.mark.parametrize("problem", [ValueError("invented"), SystemExit(1)])
def test_work_that_fails_is_done_at_the_next_attempt(once: Once, problem: BaseException) -> None:
    def fail(_: Hold) -> tuple[Completion, str]:
        raise problem

    with pytest.raises(type(problem)):
        once.run(REQUEST, fail)

    assert once.run(REQUEST, succeed) == "value"


def test_work_does_not_run_while_another_delivery_has_the_claim(once: Once, store: SilentStore) -> None:
    store.claim(REQUEST)

    assert once.run(REQUEST, succeed) == Busy()


def test_a_store_that_is_silent_for_a_while_records_the_work_after_all(once: Once, store: SilentStore) -> None:
    store.silences = 5

    assert once.run(REQUEST, succeed) == "value"
    assert once.run(REQUEST, succeed) == Done(Completion.HANDLED)


def test_a_store_that_is_silent_until_the_lease_ends_is_given_up(once: Once, store: SilentStore) -> None:
    store.silences = 1_000

    with pytest.raises(NotRecorded, match="e1/handler ended as handled, but this is not recorded"):
        once.run(REQUEST, succeed)

    assert store.now <= LEASE_SECONDS


def test_work_that_outlasts_its_lease_loses_the_claim_to_its_successor(once: Once, store: SilentStore) -> None:
    def be_late(hold: Hold) -> tuple[Completion, str]:
        hold.check(for_seconds=LEASE_SECONDS - 1)
        store.now += LEASE_SECONDS + 1
        store.claim(REQUEST)
        with pytest.raises(ClaimLost, match="ended before its effect"):
            hold.check()
        return Completion.HANDLED, "late"

    with pytest.raises(ClaimLost, match="ended before its run did"):
        once.run(REQUEST, be_late)

    assert store.claim(REQUEST) == Busy()


def test_a_claim_that_cannot_be_given_back_does_not_hide_why_the_work_failed(once: Once, store: SilentStore) -> None:
    def fail(_: Hold) -> tuple[Completion, str]:
        store.silences = 1
        raise ValueError("invented: the shop is closed")

    with pytest.raises(ValueError, match="the shop is closed"):
        once.run(REQUEST, fail)
