"""Runs a piece of work once: claim it, run it, settle the claim. Dispatch runs handlers by it, destinations effects.

claim granted -> work returns -> complete      the next delivery finds it done
              -> work raises  -> release       the next delivery runs it
claim refused -> nothing runs                  Busy, Done or Stale says why
"""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from relay.errors import ClaimLost, NotRecorded, StoreError
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Stale, Store

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Hold:
    """A granted claim, as the work sees it."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store = store
        self._claim = claim

    def check(self, for_seconds: float = 0.0) -> None:
        """Return if the claim is still ours and lasts for `for_seconds` more.

        Call it right before an effect that must not happen twice: a worker that was frozen for longer than the lease
        would repeat what another delivery has done meanwhile. Raises ClaimLost, or StoreError if the store is silent.
        """
        if not self._store.holds(self._claim, for_seconds=for_seconds):
            raise ClaimLost(f"the claim on {self._claim.request.key} ended before its effect; the effect was left out")


class Once:
    """Runs each piece of work to completion at most once, as far as the store knows. Safe for any number of threads."""

    def __init__(
        self,
        store: Store,
        *,
        retention_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`retention_seconds`: how long completed work is remembered."""
        self._store = store
        self._retention_seconds = retention_seconds
        self._clock = clock
        self._sleep = sleep

    def run(self, request: ClaimRequest, work: Callable[[Hold], tuple[Completion, T]]) -> T | Busy | Done | Stale:
        """Return what `work` returns beside its completion, or why it did not run.

        Raises StoreError if the store does not grant or refuse the claim: the work did not run. Raises what `work`
        raises, after giving the claim back. Raises ClaimLost if another delivery took the run over, and NotRecorded
        if the store is silent from the end of the work to the end of the lease: the work may run once more.
        """
        started = self._clock()
        claim = self._store.claim(request)
        if not isinstance(claim, Claim):
            return claim
        try:
            completion, value = work(Hold(self._store, claim))
        except BaseException:
            self._release(claim)
            raise
        self._complete(claim, completion, gives_up_at=started + request.lease_seconds)
        return value

    def _complete(self, claim: Claim, completion: Completion, *, gives_up_at: float) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                self._store.complete(claim, completion, retention_seconds=self._retention_seconds)
            except StoreError as error:
                if self._clock() + pause_seconds >= gives_up_at:
                    text = f"{claim.request.key} ended as {completion}, but this is not recorded: {error}"
                    raise NotRecorded(text) from error
            else:
                return
            self._sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _release(self, claim: Claim) -> None:
        try:
            self._store.release(claim)
        except (StoreError, ClaimLost) as error:
            # The claim ends with its lease; until then other workers answer deliveries of this event with busy.
            logger.warning("A claim was not given back: %s", error)
