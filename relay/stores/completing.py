"""Records the end of what cannot be undone: a silent store is asked again, for as long as the claim holds."""

import time
from collections.abc import Callable

from relay.errors import StoreError
from relay.stores import Claim, Completion, Store

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


def complete(
    store: Store,
    claim: Claim,
    completion: Completion,
    *,
    retention_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Complete the claim. Raises ClaimLost if it is no longer ours, StoreError if the store is silent until its end."""
    gives_up_at = clock() + claim.request.lease_seconds
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            store.complete(claim, completion, retention_seconds=retention_seconds)
        except StoreError:
            if clock() + pause_seconds >= gives_up_at:
                raise
        else:
            return
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
