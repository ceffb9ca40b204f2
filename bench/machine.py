"""What the figures were taken on."""

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from relay.local.services import ROOT

PACKAGES = ("flask", "gunicorn", "gevent", "grpcio", "google-cloud-pubsub", "pydantic")


def describe() -> dict[str, str]:
    """Return the processor, the versions, the commit and the time."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit.stdout.strip(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def joined(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return `now`, with what differed `before` named too: parts of a result may be of different commits."""
    return {
        name: value if before.get(name, value).endswith(value) else f"{before[name]} and {value}"
        for name, value in now.items()
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
