"""Part `store`: the memory store while it remembers ever more events. The part itself runs in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from os import getpgrp

from bench import usage
from bench.errors import BenchError
from bench.plan import Plan
from bench.results import Cell, Sample
from relay.local.services import ROOT
from relay.stores import Claim, ClaimRequest, Completion
from relay.stores.memory import MemoryStore

REMEMBERED = (0, 10_000, 100_000, 1_000_000)
TIMED = 5_000
LEASE_SECONDS, RETENTION_SECONDS, DATELESS_WINDOW_SECONDS = 660, 691_200, 3_600


def measure(plan: Plan) -> Iterator[Sample]:
    """Yield what one claim and its completion take, and the memory, at each number of remembered events."""
    if not plan.wants("memory-store"):
        return
    ended = subprocess.run(
        [sys.executable, "-m", __name__], cwd=ROOT, capture_output=True, text=True, check=False, process_group=0
    )
    if ended.returncode:
        raise BenchError(f"the memory store failed: {ended.stderr.strip().splitlines()[-1:]}")
    for line in ended.stdout.splitlines():
        yield Sample.model_validate_json(line)


def main() -> None:
    """Fill a store; print a sample at each step."""
    store = MemoryStore(dateless_window_seconds=DATELESS_WINDOW_SECONDS)
    handled = 0
    for remembered in REMEMBERED:
        while handled < remembered:
            handled = _handle(store, handled)
        memory = usage.memory(getpgrp())
        started = time.perf_counter()
        for number in range(remembered, remembered + TIMED):
            _handle(store, number)
        microseconds = (time.perf_counter() - started) / TIMED * 1e6
        handled = remembered + TIMED
        sample = Sample(
            cell=Cell(part="store", contestant="memory-store", remembered=remembered),
            values={"claim_and_complete_us": microseconds, "rss_mb": memory.rss_mb},
        )
        sys.stdout.write(f"{sample.model_dump_json()}\n")


def _handle(store: MemoryStore, number: int) -> int:
    """Claim and complete one handler's run of one event, as the worker does; return the next number."""
    claim = store.claim(ClaimRequest(key=f"{number:064x}/orders.follow_order", lease_seconds=LEASE_SECONDS))
    if not isinstance(claim, Claim):
        raise BenchError(f"event {number} was not new to the store")
    store.complete(claim, Completion.HANDLED, retention_seconds=RETENTION_SECONDS)
    return number + 1


if __name__ == "__main__":
    main()
