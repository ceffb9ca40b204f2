"""How much is measured, and where: what the options of `make bench` decide."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run."""

    rounds: int
    seconds: int
    """Of each measurement under load; wrk knows whole ones only."""
    connections: tuple[int, ...]
    starts: int
    """How often a cold start is measured."""
    only: tuple[str, ...]
    """The contestants to measure; empty for all."""
    folder: Path
    """For files that nobody needs afterwards."""

    def wants(self, contestant: str) -> bool:
        """Return whether the contestant is measured."""
        return not self.only or contestant in self.only
