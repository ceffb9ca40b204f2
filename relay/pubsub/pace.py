"""Publishing no faster than asked, so that a redrive or a replay leaves room for what OneStock sends."""

import threading
import time
from collections.abc import Callable


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
