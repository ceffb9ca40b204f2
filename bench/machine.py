"""What the figures were taken on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from relay.local.services import ROOT

PACKAGES = ("flask", "gunicorn", "grpcio", "google-cloud-pubsub", "google-cloud-logging", "pydantic")


def describe() -> dict[str, str]:
    """Return the processor, the versions, the commit, the time, and how busy the machine is."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit.stdout.strip(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "load average before": load_average(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def load_average() -> str:
    """Return how many processes wanted to run, on the average of the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
