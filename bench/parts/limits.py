"""Part `limits`: the publish RPC alone, from one thread."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

from bench.arrivals import arrivals
from bench.errors import BenchError
from bench.percentiles import percentiles
from bench.plan import Plan
from bench.results import Cell, Sample
from relay.local.services import ROOT

BODY_BYTES = 200
WARM_UP_SECONDS = 4


def warm_emulator(plan: Plan) -> None:
    """Let the emulator's compiler settle: the first contestant must not pay for it."""
    for kind in ("stub", "relay"):
        _bare_publish(kind, replace(plan, seconds=WARM_UP_SECONDS))


def measure(plan: Plan) -> Iterator[Sample]:
    """Yield the samples of the RPC on a gRPC stub, through the generated client, and of the relay's own call."""
    for kind in ("stub", "client", "relay"):
        if plan.wants(f"bare-{kind}"):
            yield _bare_publish(kind, plan)


def _bare_publish(kind: str, plan: Plan) -> Sample:
    output = plan.folder / "bare.json"
    with arrivals() as arrived:
        command = [sys.executable, "-m", "bench.limits.bare_publish", kind, arrived.topic_path, str(plan.seconds)]
        ended = subprocess.run([*command, str(output)], cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise BenchError(f"the bare publish failed: {ended.stderr.strip().splitlines()[-1:]}")
        result = json.loads(output.read_text())
        arrived.check(result["message_ids"], body_bytes=BODY_BYTES)
    latencies = result["latencies_ms"]
    values = {
        "per_second": len(latencies) / result["seconds"],
        **percentiles(latencies),
        "cpu_seconds_per_1000": 1000 * result["cpu_seconds"] / len(latencies),
        "answered": len(latencies),
    }
    cell = Cell(part="receivers", contestant=f"bare-{kind}", connections=1, body_bytes=BODY_BYTES)
    return Sample(cell=cell, values=values)
