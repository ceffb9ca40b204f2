"""Percentiles of measured latencies, by nearest rank: a figure that was measured, never one between two."""

import math
from collections.abc import Sequence

SHOWN = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """Return p50, p90, p99, p99.9 and the maximum of at least one latency in milliseconds."""
    known = sorted(latencies_ms)
    return {name: known[max(0, math.ceil(len(known) * percent / 100) - 1)] for name, percent in SHOWN.items()}
