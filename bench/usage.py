"""What a service uses of the machine, from /proc: CPU time and memory of all processes of its group."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_GROUP, _USER, _SYSTEM = 2, 11, 12  # Fields of /proc/PID/stat behind the program's name.


def cpu_seconds(group: int) -> float:
    """Return the CPU time that the processes of a group have used so far, user and system together."""
    return sum(int(stat[_USER]) + int(stat[_SYSTEM]) for _, stat in _processes(group)) / _TICKS_PER_SECOND


def pss_mb(group: int) -> float:
    """Return the memory of a group's processes in 10^6 bytes; a page that n processes share counts as 1/n in each."""
    kib = 0
    for folder, _ in _processes(group):
        for line in (folder / "smaps_rollup").read_text().splitlines():
            kib += int(line.split()[1]) if line.startswith("Pss:") else 0
    return kib * 1024 / 1e6


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
