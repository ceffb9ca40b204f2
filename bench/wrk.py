"""wrk, the load generator, with our two scripts: a closed loop, and a steady rate that does not wait for answers."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from bench.errors import BenchError
from bench.percentiles import percentiles
from bench.prepared import Prepared
from relay.errors import ConfigurationError

FOLDER = Path(__file__).parent
ANSWER_SECONDS = 30
GRACE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run of wrk: how long it took, the latencies' percentiles, and the message id in each 2xx."""

    seconds: float
    latencies_ms: dict[str, float]
    message_ids: list[str]

    @property
    def answered(self) -> int:
        """How many requests got a 2xx."""
        return len(self.message_ids)


class _Summary(BaseModel):
    """The first line of what our scripts write."""

    seconds: float
    refused: int
    """Answers that were no 2xx."""
    broken: int
    """Connections that failed, and answers that took over 30 s."""


class _ClosedSummary(_Summary):
    """The percentiles are wrk's own, over all answers."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


def find() -> str:
    """Return the path of wrk. Raises ConfigurationError with what to do if there is none."""
    program = shutil.which("wrk")
    if program is None:
        raise ConfigurationError("wrk: the load generator was not found; install it (apt-get install wrk)")
    return program


def closed_loop(url: str, prepared: Prepared, *, connections: int, seconds: int, folder: Path) -> Load:
    """Keep `connections` busy for some seconds. Raises BenchError if an answer is no 2xx or does not come."""
    options = ["--threads=1", f"--connections={connections}", "--script", str(FOLDER / "closed.lua")]
    return parse_closed(_run(options, url, prepared, [], seconds=seconds, folder=folder))


def steady(url: str, prepared: Prepared, *, connections: int, per_second: int, seconds: int, folder: Path) -> Load:
    """Send at a constant rate over `connections`. Raises BenchError if an answer is no 2xx or does not come."""
    options = [f"--threads={connections}", f"--connections={connections}", "--script", str(FOLDER / "steady.lua")]
    arguments = [str(connections), str(per_second)]
    return parse_steady(_run(options, url, prepared, arguments, seconds=seconds, folder=folder))


def parse_closed(text: str) -> Load:
    """Read what closed.lua writes: the summary, then a message id a line. Raises BenchError for a failed answer."""
    first, *message_ids = text.splitlines()
    summary = _ClosedSummary.model_validate_json(first)
    _check(summary, len(message_ids))
    latencies = summary.model_dump(include={"p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"})
    return Load(seconds=summary.seconds, latencies_ms=latencies, message_ids=message_ids)


def parse_steady(text: str) -> Load:
    """Read what steady.lua writes: the summary, then a latency and a message id a line. Raises BenchError likewise."""
    first, *lines = text.splitlines()
    summary = _Summary.model_validate_json(first)
    _check(summary, len(lines))
    pairs = [line.partition(" ") for line in lines]
    latencies = percentiles([float(latency) for latency, _, _ in pairs])
    return Load(seconds=summary.seconds, latencies_ms=latencies, message_ids=[message_id for _, _, message_id in pairs])


def _check(summary: _Summary, answered: int) -> None:
    if summary.refused or summary.broken or not answered:
        raise BenchError(
            f"not every answer was a 2xx: {answered} were, {summary.refused} were not, {summary.broken} did not come"
        )


def _run(options: list[str], url: str, prepared: Prepared, arguments: list[str], *, seconds: int, folder: Path) -> str:
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
    return result.read_text()
