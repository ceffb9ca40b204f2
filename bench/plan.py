"""How much is measured, and with what."""

from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = (1, 8, 80)
"""One is what OneStock opens for a webhook; 80 is what Cloud Run sends to one instance by default."""
WARM_UP_CONNECTIONS, WARM_UP_SECONDS = 16, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What each part is given to yield one round of its samples."""

    seconds: int
    """Of each measurement under load; wrk knows whole ones only."""
    pubsub_host: str
    """The emulator, as host:port."""
    folder: Path
    """For files that nobody needs afterwards."""
