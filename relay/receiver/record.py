"""Record-only mode: what the signature check refuses is published all the same, and diagnosed for the log.

For a first installation, until it is known how OneStock signs (docs/signature.md). Imported only if it is on.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relay.diagnosis import Capture, diagnose
from relay.errors import SignatureError
from relay.signature import HEADER

# Anybody can send what has to be searched: at most 5 % of the time of a receiver that does nothing else meanwhile.
SEARCH_EVERY_SECONDS = 1.0
MAX_HASHED_BYTES = 5_000_000
WARN_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the log line says of a webhook that was published although its signature was refused."""

    reading: str
    severity: int
    """An error on the last day: what is accepted now is refused from then on."""


class Recorder:
    """Finds the reading that matches, until its time is over."""

    def __init__(self, keys: Sequence[bytes], *, until: datetime | None, now: Callable[[], float]) -> None:
        """`until` is when webhooks are refused again, None for never; `now` gives Unix seconds."""
        self._keys = keys
        self._ends_at = until.timestamp() if until else float("inf")
        self._now = now
        self._next_search_at = 0.0

    def record(self, header: str | None, body: bytes, refusal: SignatureError) -> Recorded:
        """Return what to log. Raises SignatureError once the time is over: the check is then required."""
        now = self._now()
        if now >= self._ends_at:
            end = datetime.fromtimestamp(self._ends_at, UTC)
            raise SignatureError(f"{refusal.reason}; ONESTOCK_RECORD_UNTIL ended at {end:%Y-%m-%d %H:%M} UTC")
        severity = logging.ERROR if self._ends_at - now < WARN_SECONDS else logging.WARNING
        return Recorded(reading=self._reading(header, body, now), severity=severity)

    def _reading(self, header: str | None, body: bytes, now: float) -> str:
        if header is None:
            return f"none: no header {HEADER}"
        if now < self._next_search_at:
            return "not searched: one search a second"
        self._next_search_at = now + SEARCH_EVERY_SECONDS
        capture = Capture(headers=((HEADER, header),), body=body)
        diagnosis = diagnose(capture, self._keys, max_hashed_bytes=MAX_HASHED_BYTES)
        if diagnosis.reading is not None:
            return str(diagnosis.reading)
        return f"none of {diagnosis.tried}" if diagnosis.is_complete else f"none of the first {diagnosis.tried}"
