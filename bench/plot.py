"""Draws answers/s against connections: `python -m bench.plot RESULTS SVG`, with the peers' Python (matplotlib)."""

import statistics
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results import Cell, Results

LINES = {
    "receiver": ("this receiver", "#c8102e", "-"),
    "fastapi": ("FastAPI, same job", "#2e8b57", "-"),
    "sample": ("usual sample", "#1f5fa8", "-"),
    "functions": ("functions-framework", "#6baed6", "-"),
    "noop": ("no-op view (limit)", "#777777", "--"),
}
PANELS = {0: "Emulator, no delay", 15: "15 ms more for each publish"}


def main(results: str, svg: str) -> None:
    """Draw one panel for each delay."""
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench"})
    read = Results.read(Path(results))
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for axis, (delay_ms, title) in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS.items(), strict=True):
        _draw(axis, read, delay_ms)
        axis.set_title(title)
    figure.axes[0].set_ylabel("acknowledged webhooks a second")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(svg, metadata={"Date": None})


def _draw(axis: Axes, results: Results, delay_ms: int) -> None:
    cells = [cell for cell in results.cells() if cell.part == "answers" and cell.delay_ms == delay_ms]
    for name, (label, colour, line) in LINES.items():
        points = {cell.connections: _median(results, cell) for cell in cells if cell.contestant == name}
        if points:
            axis.plot(list(points), list(points.values()), label=label, color=colour, linestyle=line, marker="o")
    ticks = sorted({cell.connections for cell in cells})
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(ticks, labels=[str(tick) for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlabel("connections, each waits for its answer")
    axis.grid(visible=True, color="#dddddd", linewidth=0.6)


def _median(results: Results, cell: Cell) -> float:
    return statistics.median(results.values(cell, "per_second"))


if __name__ == "__main__":
    main(*sys.argv[1:])
