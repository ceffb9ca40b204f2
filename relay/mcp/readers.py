"""What the tools read with. Whoever starts the server makes it; there is no way from it to anything that changes."""

from typing import Any, Protocol

from relay.investigation.search import LogSource


class Readers(Protocol):
    """Reads at the moment of the call, so that a local run that starts later is seen."""

    def log(self) -> LogSource:
        """Return where log lines are read. Raises a RelayError."""
        ...

    def webhooks(self) -> list[dict[str, Any]]:
        """Return the webhooks at OneStock, as `relay webhooks list --json` prints them. Raises a RelayError."""
        ...

    def findings(self) -> list[dict[str, Any]]:
        """Return the doctor's findings, as `relay doctor --json` prints them. Raises a RelayError."""
        ...
