"""The trace that the receiver and the worker share for one event. Pub/Sub carries it as an attribute.

Format: "Trace Context" (W3C), header `traceparent`.
"""

import re
from dataclasses import dataclass
from random import getrandbits
from typing import Self

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)

_NO_TRACE_ID, _NO_SPAN_ID = 32 * "0", 16 * "0"


@dataclass(frozen=True, slots=True)
class Trace:
    """One event's trace id (32 hex digits), the span of the service at work (16), and whether it is sampled."""

    trace_id: str
    span_id: str
    sampled: bool

    @classmethod
    def continued(cls, traceparent: str | None) -> Self:
        """Return the trace of `traceparent` with a new span, or a new trace if `traceparent` names none."""
        match = _TRACEPARENT.fullmatch(traceparent or "")
        if match is None or match[1] == _NO_TRACE_ID or match[2] == _NO_SPAN_ID:
            return cls(trace_id=f"{_random(128):032x}", span_id=f"{_random(64):016x}", sampled=False)
        return cls(trace_id=match[1], span_id=f"{_random(64):016x}", sampled=bool(int(match[3], 16) & 1))

    @property
    def traceparent(self) -> str:
        """The value that the next service gets."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def _random(bits: int) -> int:
    """Return a number that is not 0, from Python's own generator: a system call would let another thread run first."""
    return getrandbits(bits) or 1
