"""What is shown of the results: on the terminal, in README.md, and as a plot."""

import re
import statistics
import subprocess
from pathlib import Path

import click
from tabulate import tabulate

from bench.bounds import judged
from bench.contestants import NOOP, NOOP_WORKER, PEERS, PUBLISHERS, WORKER
from bench.errors import BenchError
from bench.results import Cell, Results
from relay.local.services import ROOT

README = Path(__file__).parent / "README.md"

_ROWS = {
    **{contestant.name: contestant.title for contestant in (*PUBLISHERS, NOOP)},
    "rpc": "limit: Publish RPC alone, one thread",
    **{contestant.name: contestant.title for contestant in (WORKER, NOOP_WORKER)},
    "import": "limit: bare import of Flask and Google's clients",
}
_COLUMNS = {
    "ms, 1": ("answers", 0, 1, "p50_ms", 2),
    "/s, 8": ("answers", 0, 8, "per_second", 0),
    "/s, 80": ("answers", 0, 80, "per_second", 0),
    "15 ms: ms, 1": ("answers", 15, 1, "p50_ms", 1),
    "15 ms: /s, 8": ("answers", 15, 8, "per_second", 0),
    "15 ms: /s, 80": ("answers", 15, 80, "per_second", 0),
    "15 ms: p99 ms at 200/s": ("steady", 15, 0, "p99_ms", 1),
    "start s": ("starts", 0, 0, "seconds", 2),
    "memory MB": ("starts", 0, 0, "pss_mb", 0),
}
_GENERATED = re.compile(r"(?<=<!-- generated -->\n).*(?=<!-- end -->)", re.DOTALL)


def show(results: Results) -> int:
    """Print the table and the bounds. Return the exit status: 1 if a bound is missed."""
    judgements = list(judged(results))
    click.echo("\n".join(["", table(results, style="simple"), "", *map(str, judgements)]))
    return int(not all(judgement.is_reached for judgement in judgements))


def with_figures(readme: str, results: Results) -> str:
    """Return the README with these results in the place that is marked as generated."""
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    bounds = "\n".join(f"- {judgement}" for judgement in judged(results))
    text = f"\n{table(results, style='github')}\n\n{bounds}\n\nMeasured on: {machine}.\n\n"
    return _GENERATED.sub(lambda _: text, readme)


def table(results: Results, *, style: str) -> str:
    """Return the one table: the medians of the rounds, a row for each contestant. `style` is tabulate's."""
    rows = [
        [title, *(_median(results, name, *column) for column in _COLUMNS.values())] for name, title in _ROWS.items()
    ]
    align = ("left", *("right" for _ in _COLUMNS))
    return tabulate(rows, headers=["", *_COLUMNS], tablefmt=style, disable_numparse=True, colalign=align)


def _median(results: Results, name: str, part: str, delay_ms: int, connections: int, value: str, digits: int) -> str:
    if part == "answers" and name in {WORKER.name, NOOP_WORKER.name}:
        part = "pushes"
    cell = Cell(part=part, contestant=name, delay_ms=delay_ms, connections=connections)
    known = results.values(cell, value)
    return f"{statistics.median(known):,.{digits}f}" if known else ""


def draw(file: Path) -> None:
    """Write the plot beside the results. Raises BenchError if matplotlib fails."""
    command = [str(PEERS / "python"), "-m", "bench.plot", str(file), str(file.parent / "connections.svg")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise BenchError(f"the plot failed: {ended.stderr.strip().splitlines()[-1:]}")
