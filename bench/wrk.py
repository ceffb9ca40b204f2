"""wrk, the load generator, with our two scripts: a closed loop, and a steady rate that does not wait for answers."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from bench.errors import BenchError
from bench.prepared import Prepared
from bench.results import percentiles
from relay.errors import ConfigurationError

FOLDER = Path(__file__).parent
ANSWER_SECONDS = 30
GRACE_SECONDS = 60
STEADY_PER_SECOND, STEADY_CONNECTIONS = 200, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run of wrk measured, and the message id in each 2xx."""

    values: dict[str, float]
    message_ids: list[str]


class _Summary(BaseModel):
    """The first line of what our scripts write."""

    seconds: float
    refused: int
    """Answers that were no 2xx."""
    broken: int
    """Connections that failed, and answers that took over 30 s."""
    latencies_ms: dict[str, float] = {}
    """wrk's own percentiles, where a script does not take the single latencies."""


def find() -> str:
    """Return the path of wrk. Raises ConfigurationError with what to do if there is none."""
    program = shutil.which("wrk")
    if program is None:
        raise ConfigurationError("wrk: the load generator was not found; install it (apt-get install wrk)")
    return program


def closed_loop(url: str, prepared: Prepared, *, connections: int, seconds: int, folder: Path) -> Load:
    """Keep `connections` busy for some seconds. Raises BenchError if an answer is no 2xx or does not come."""
    options = ["--threads=1", f"--connections={connections}", "--script", str(FOLDER / "closed.lua")]
    return _run(options, url, prepared, [], seconds=seconds, folder=folder)


def steady(url: str, prepared: Prepared, *, seconds: int, folder: Path) -> Load:
    """Send 200 requests/s over 32 connections. Raises BenchError if an answer is no 2xx or does not come."""
    connections = str(STEADY_CONNECTIONS)
    options = [f"--threads={connections}", f"--connections={connections}", "--script", str(FOLDER / "steady.lua")]
    return _run(options, url, prepared, [connections, str(STEADY_PER_SECOND)], seconds=seconds, folder=folder)


def parse(text: str) -> Load:
    """Read what our scripts write: the summary, then for each 2xx its message id and, if taken, its latency in ms.

    Raises BenchError if an answer was no 2xx or did not come.
    """
    first, *lines = text.splitlines()
    summary = _Summary.model_validate_json(first)
    if summary.refused or summary.broken or not lines:
        raise BenchError(
            f"not every answer was a 2xx: {len(lines)} were, {summary.refused} were not, {summary.broken} did not come"
        )
    pairs = [line.partition(" ") for line in lines]
    latencies = summary.latencies_ms or percentiles([float(latency) for _, _, latency in pairs])
    values = {"per_second": len(lines) / summary.seconds, **latencies, "answered": len(lines)}
    return Load(values=values, message_ids=[message_id for message_id, _, _ in pairs])


def _run(options: list[str], url: str, prepared: Prepared, arguments: list[str], *, seconds: int, folder: Path) -> Load:
    result = folder / "wrk.txt"
    result.unlink(missing_ok=True)
    command = [find(), f"--duration={seconds}s", f"--timeout={ANSWER_SECONDS}s", *options, f"{url}{prepared.path}"]
    ended = subprocess.run(
        [*command, "--", str(prepared.file), str(result), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds + GRACE_SECONDS,
        check=False,
    )
    if ended.returncode or not result.exists():
        raise BenchError(f"wrk failed: {ended.stdout} {ended.stderr}")
    return parse(result.read_text())
