"""Publishing no faster than asked, so that a redrive or a replay leaves room for what OneStock sends."""

import math
import threading
import time
from collections.abc import Callable

LEAST_PER_SECOND = 0.01
"""At 0.01 an event goes every 100 seconds: whoever writes less has mistyped."""


def per_second_in(text: str) -> float | None:
    """Return the rate that a person means: 0 for no limit, or at least LEAST_PER_SECOND; None for anything else."""
    try:
        rate = float(text)
    except ValueError:
        return None
    return rate if rate == 0 or LEAST_PER_SECOND <= rate < math.inf else None


class Pace:
    """Lets `wait` return at most so many times a second, however many threads call it."""

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`per_second` 0 means without a limit; `clock` and `sleep` are in seconds."""
        self._seconds_between = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_at = clock()

    def wait(self) -> None:
        """Return when it is the caller's turn."""
        with self._lock:
            now = self._clock()
            turn_at = max(self._next_at, now)
            self._next_at = turn_at + self._seconds_between
        if turn_at > now:
            self._sleep(turn_at - now)
