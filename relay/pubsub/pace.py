"""Publishing no faster than asked, so that a redrive or a replay leaves room for what OneStock sends."""

import time
from collections.abc import Callable


class Pace:
    """Lets `wait` return at most so many times a second."""

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`per_second` 0 means without a limit; `clock` and `sleep` are in seconds."""
        self._seconds_between = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next_at = clock()

    def wait(self) -> None:
        """Return when it is time for the next one."""
        now = self._clock()
        if self._next_at > now:
            self._sleep(self._next_at - now)
        self._next_at = max(self._next_at, now) + self._seconds_between
