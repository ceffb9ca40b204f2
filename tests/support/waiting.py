"""The only waiting in the suite."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, within: float = 120, every: float = 0.05) -> T:
    """Return the condition's value once it is true; fail after `within` seconds and say what was last seen.

    The default bears a machine that has eight times as much to do as it can. Another bound is part of a promise.
    """
    deadline = time.monotonic() + within
    while not (seen := condition()):
        assert time.monotonic() < deadline, f"not within {within} s; last seen: {seen!r}"
        time.sleep(every)
    return seen
