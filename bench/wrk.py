"""wrk, the load generator, with our two scripts: a closed loop, and a steady rate that does not wait for answers."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel

from bench.errors import BenchError
from relay.errors import ConfigurationError

FOLDER = Path(__file__).parent
ANSWER_SECONDS = 30
GRACE_SECONDS = 60


class Summary(BaseModel):
    """What wrk measured. The percentiles are wrk's own, over all answers."""

    seconds: float
    answered: int
    """Answers with a 2xx."""
    refused: int
    """Answers with any other status."""
    broken: int
    """Connections that failed, and answers that took over 30 s."""
    sent: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run of wrk: what it measured, and the message id in each 2xx."""

    summary: Summary
    message_ids: list[str]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what our scripts write: the summary in the first line, then one message id a line."""
        first, *message_ids = file.read_text().splitlines()
        return cls(summary=Summary.model_validate_json(first), message_ids=message_ids)


def find() -> str:
    """Return the path of wrk. Raises ConfigurationError with what to do if there is none."""
    program = shutil.which("wrk")
    if program is None:
        raise ConfigurationError("wrk: the load generator was not found; install it (apt-get install wrk)")
    return program


def closed_loop(url: str, *, requests: Path, connections: int, seconds: float, folder: Path) -> Load:
    """Keep `connections` busy for some seconds. Raises BenchError if an answer is no 2xx or does not come."""
    result = folder / "wrk.txt"
    command = [find(), "--threads=1", f"--connections={connections}", f"--duration={seconds:g}s"]
    script = ["--script", str(FOLDER / "closed.lua"), url, "--", str(requests), str(result)]
    load = _run([*command, f"--timeout={ANSWER_SECONDS}s", *script], result, within_seconds=seconds + GRACE_SECONDS)
    if load.summary.refused or load.summary.broken or not load.summary.answered:
        raise BenchError(f"not every answer was a 2xx: {load.summary}")
    return load


def _run(command: list[str], result: Path, *, within_seconds: float) -> Load:
    result.unlink(missing_ok=True)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=within_seconds, check=False)
    if ended.returncode or not result.exists():
        raise BenchError(f"wrk failed: {ended.stdout} {ended.stderr}")
    return Load.read(result)
