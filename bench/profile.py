"""Where a service's time goes: py-spy samples it under load, and the samples are added up."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.contestants import PEERS
from bench.errors import BenchError

SAMPLES_PER_SECOND = 250
WITHIN_SECONDS = 60

_FRAME = re.compile(r"(?P<function>.*) \((?P<file>.*?)(:\d+)?\)")
_PACKAGE = re.compile(r"(?:.*/site-packages/|.*/lib/python3\.\d+/)?(?P<package>[^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Shares of the samples (0 to 1), largest first."""

    functions: dict[str, float] = field(default_factory=dict)
    """Time in a function and all that it calls."""
    packages: dict[str, float] = field(default_factory=dict)
    """Time in a package's own code, without what it calls."""


def sample(pid: int, *, seconds: int, folder: Path) -> Profile:
    """Sample a process and its children while something else loads them. Raises BenchError if py-spy fails."""
    output = folder / "profile.txt"
    command = [str(PEERS / "py-spy"), "record", "--subprocesses", "--format=raw", f"--output={output}"]
    options = [f"--pid={pid}", f"--rate={SAMPLES_PER_SECOND}", f"--duration={seconds}", "--full-filenames"]
    ended = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=seconds + WITHIN_SECONDS, check=False
    )
    if ended.returncode:
        raise BenchError(f"py-spy failed: {ended.stderr.strip()}")
    return added_up(output.read_text().splitlines())


def added_up(lines: Sequence[str]) -> Profile:
    """Add up what py-spy writes: on each line a stack, outermost first, parted by `;`, and how often it was seen."""
    functions: Counter[str] = Counter()
    packages: Counter[str] = Counter()
    for stack, count in map(_stack_and_count, lines):
        frames = list(_frames(stack))
        if not frames:
            continue
        functions.update({f"{package}: {function}": count for package, function in frames})
        packages[frames[-1][0]] += count
    seen = packages.total() or 1
    return Profile(
        functions={name: count / seen for name, count in functions.most_common()},
        packages={name: count / seen for name, count in packages.most_common()},
    )


def _stack_and_count(line: str) -> tuple[str, int]:
    stack, _, count = line.rpartition(" ")
    return stack, int(count)


def _frames(stack: str) -> Iterator[tuple[str, str]]:
    for frame in stack.split(";"):
        match = _FRAME.fullmatch(frame)
        if match is not None:
            yield _owner(match["file"]), match["function"]


def _owner(file: str) -> str:
    """Return the package that a file belongs to, and for our own its module too."""
    for ours in ("/relay/", "/bench/"):
        if ours in file and "site-packages" not in file:
            return f"{ours[1:-1]}/{file.rpartition(ours)[2]}"
    match = _PACKAGE.match(file)
    return match["package"] if match else file
