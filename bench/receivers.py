"""Part `receivers`: all contestants under a closed loop, and the bare publish RPC."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import usage, wrk
from bench.arrivals import Arrivals, arrivals
from bench.contestants import CONTESTANTS, Contestant, Running, running
from bench.errors import BenchError
from bench.plan import Plan
from bench.results import Cell, Sample
from bench.webhooks import PATH, Prepared, prepare_webhooks
from relay.local.services import ROOT

BODY_BYTES = 200
WARM_UP_SECONDS = 2.0
WARM_UP_CONNECTIONS = 16
FASTEST_PER_SECOND = 8_000  # More than any contestant answers: no body is sent twice.


def measure(plan: Plan, folder: Path) -> Iterator[Sample]:
    """Yield the samples, contestant by contestant, round by round."""
    count = round(FASTEST_PER_SECOND * max(plan.seconds, WARM_UP_SECONDS))
    prepared = prepare_webhooks(folder / "webhooks", count=count, body_bytes=BODY_BYTES)
    for _ in range(plan.rounds):
        for kind in ("stub", "client"):
            if plan.wants(f"bare-{kind}"):
                yield _bare_publish(kind, plan.seconds, folder)
        for contestant in CONTESTANTS:
            if plan.wants(contestant.name):
                yield from _one_start(contestant, plan, prepared, folder)


def _one_start(contestant: Contestant, plan: Plan, prepared: Prepared, folder: Path) -> Iterator[Sample]:
    with arrivals() as arrived, running(contestant, topic_path=arrived.topic_path, folder=folder) as service:
        warm_up(service, prepared, folder)
        for connections in plan.connections:
            cell = Cell(
                part="receivers",
                contestant=contestant.name,
                connections=connections,
                body_bytes=prepared.body_bytes,
            )
            values = closed_loop(
                service, prepared, arrived if contestant.publishes else None, cell, plan.seconds, folder
            )
            yield Sample(cell=cell, values=values)


def warm_up(service: Running, prepared: Prepared, folder: Path) -> None:
    """Let caches, connections and the emulator's compiler settle."""
    wrk.closed_loop(
        f"{service.url}{PATH}",
        requests=prepared.file,
        connections=WARM_UP_CONNECTIONS,
        seconds=WARM_UP_SECONDS,
        folder=folder,
    )


def closed_loop(
    service: Running, prepared: Prepared, arrived: Arrivals | None, cell: Cell, seconds: float, folder: Path
) -> dict[str, float]:
    """Measure one cell. Raises BenchError if an answer is no 2xx, or a message that was acknowledged did not arrive."""
    cpu_before = usage.cpu_seconds(service.child.pid)
    load = wrk.closed_loop(
        f"{service.url}{PATH}",
        requests=prepared.file,
        connections=cell.connections,
        seconds=seconds,
        folder=folder,
    )
    cpu_seconds = usage.cpu_seconds(service.child.pid) - cpu_before
    if arrived is not None:
        arrived.check(load.message_ids, digests=prepared.digests, body_bytes=prepared.body_bytes)
    summary = load.summary
    return {
        "per_second": summary.answered / summary.seconds,
        "p50_ms": summary.p50_ms,
        "p90_ms": summary.p90_ms,
        "p99_ms": summary.p99_ms,
        "p999_ms": summary.p999_ms,
        "max_ms": summary.max_ms,
        "cpu_seconds_per_1000": 1000 * cpu_seconds / summary.answered,
        "pss_mb": usage.memory(service.child.pid).pss_mb,
        "answered": summary.answered,
    }


def _bare_publish(kind: str, seconds: float, folder: Path) -> Sample:
    with arrivals() as arrived:
        output = folder / "bare.json"
        command = [sys.executable, "-m", "bench.limits.bare_publish", kind, arrived.topic_path, str(seconds)]
        ended = subprocess.run([*command, str(output)], cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise BenchError(f"the bare publish failed: {ended.stderr.strip().splitlines()[-1:]}")
        result = json.loads(output.read_text())
        arrived.check(result["message_ids"], digests=None, body_bytes=BODY_BYTES)
    latencies = sorted(result["latencies_us"])
    percentiles = statistics.quantiles(latencies, n=1_000)
    count = len(latencies)
    values = {
        "per_second": count / result["seconds"],
        "p50_ms": percentiles[499] / 1e3,
        "p90_ms": percentiles[899] / 1e3,
        "p99_ms": percentiles[989] / 1e3,
        "p999_ms": percentiles[998] / 1e3,
        "max_ms": latencies[-1] / 1e3,
        "cpu_seconds_per_1000": 1000 * result["cpu_seconds"] / count,
        "answered": count,
    }
    return Sample(cell=Cell(part="receivers", contestant=f"bare-{kind}", connections=1), values=values)
