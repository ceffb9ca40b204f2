"""The console of the local run: the command `relay console`, as a child that ends with the run."""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from relay.local.environment import CONSOLE_TOKEN
from relay.local.processes import Child, is_taken
from relay.local.services import ROOT, START_SECONDS


@dataclass(frozen=True, slots=True)
class Console:
    """A console that runs."""

    url: str
    """What opens it in a browser; holds the start-up token."""

    @classmethod
    @contextmanager
    def started(cls, port: int, variables: Mapping[str, str], *, output: Path) -> Iterator[Self]:
        """Run it on `port` while the block runs, which begins once it listens.

        `variables` are those that commands need against this run. Raises ConfigurationError if it does not start.
        """
        token = secrets.token_urlsafe(24)
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environ |= {**variables, CONSOLE_TOKEN: token, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-P", "-m", "relay", "console", "--port", str(port), "--allow-actions"]
        with Child("The console", command, environ=environ, output=output) as child:
            child.wait_until(lambda: is_taken(port), within_seconds=START_SECONDS, what="it listened")
            yield cls(f"http://127.0.0.1:{port}/open?token={token}")
