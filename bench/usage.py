"""What a service uses of the machine, from /proc: CPU time and memory of all processes of its group."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_GROUP, _USER, _SYSTEM = 2, 11, 12  # Fields of /proc/PID/stat behind the program's name.


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """MB (10^6 bytes): resident, and proportional, where a page that n processes share counts as 1/n in each."""

    rss_mb: float
    pss_mb: float


def cpu_seconds(group: int) -> float:
    """Return the CPU time that the processes of a group have used so far, user and system together."""
    return sum(int(stat[_USER]) + int(stat[_SYSTEM]) for _, stat in _processes(group)) / _TICKS_PER_SECOND


def memory(group: int) -> Memory:
    """Return the memory that the processes of a group hold now."""
    rss = pss = 0
    for folder, _ in _processes(group):
        for line in (folder / "smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            rss += int(rest.split()[0]) if name == "Rss" else 0
            pss += int(rest.split()[0]) if name == "Pss" else 0
    return Memory(rss_mb=rss * 1024 / 1e6, pss_mb=pss * 1024 / 1e6)


def _processes(group: int) -> Iterator[tuple[Path, list[str]]]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat[_GROUP]) == group:
            yield folder, stat
