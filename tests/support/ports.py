"""Ports for what the tests start.

From the moment it was chosen until somebody listens on it, which takes seconds, a port looks free to everybody. So no
port is given twice, each of pytest's workers has its own, and the programs under test choose theirs among others.
"""

import os
import random

from relay.local.processes import is_taken

_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_left = list(range(10_000 + _WORKER, 20_000, _WORKERS))
random.shuffle(_left)  # Another run of the tests may go on beside this one.


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on, and that no other test gets."""
    while is_taken(port := _left.pop()):
        pass
    return port
