"""Waits until the lines show what an action did: the page that it leads to shows it, also without JavaScript."""

import time
from collections.abc import Callable

from relay.investigation.index import EventIndex

SEEN_WITHIN_SECONDS = 4.0


def wait_until_seen(index: EventIndex, is_seen: Callable[[], bool]) -> None:
    """Return once `is_seen` is true, or after SEEN_WITHIN_SECONDS; it is asked at each change of the index."""
    until = time.monotonic() + SEEN_WITHIN_SECONDS
    version = index.version
    while not is_seen() and (left := until - time.monotonic()) > 0:
        version = index.wait_for_change(version, timeout_seconds=left)
