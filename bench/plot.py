"""Draws throughput and latency against concurrency: `python -m bench.plot RESULTS FOLDER`.

Runs in the benchmark's own virtual environment, where matplotlib is.
"""

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results import Results, Spread

OURS = "receiver"
LINES = {
    OURS: ("this receiver", "#c8102e", "-"),
    "noop": ("no-op view (limit)", "#777777", "--"),
    "sample": ("usual sample", "#1f5fa8", "-"),
    "functions": ("functions-framework", "#6baed6", "-"),
    "fastapi": ("FastAPI, batching client", "#2e8b57", "-"),
    "fastapi-async": ("FastAPI, asyncio client", "#e08a1e", "-"),
}
PANELS = (
    ("per_second", "answers a second", "Throughput"),
    ("p50_ms", "ms, log scale", "Median latency"),
    ("p99_ms", "ms, log scale", "p99 latency"),
)
TITLE = "From webhook to durable acknowledgement, closed loop: median of the rounds, bars from lowest to highest"


def main(results: str, folder: str) -> None:
    """Write `concurrency.png` and `concurrency.svg`."""
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = TITLE
    cells = list(Results.read(Path(results)).cells("receivers"))
    figure = Figure(figsize=(15, 5.2), layout="constrained")
    for axis, (value, unit, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for contestant in LINES:
            points = [(cell.connections, spreads[value]) for cell, spreads in cells if cell.contestant == contestant]
            if points:
                _draw(axis, sorted(points, key=lambda point: point[0]), contestant)
        _dress(axis, title=title, unit=unit, ticks=sorted({cell.connections for cell, _ in cells}))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(TITLE)
    figure.savefig(Path(folder) / "concurrency.png", dpi=110)
    figure.savefig(Path(folder) / "concurrency.svg", metadata={"Date": None})


def _draw(axis: Axes, points: list[tuple[int, Spread]], contestant: str) -> None:
    label, colour, line = LINES[contestant]
    spreads = [spread for _, spread in points]
    axis.errorbar(
        [connections for connections, _ in points],
        [spread.median for spread in spreads],
        yerr=[[spread.median - spread.low for spread in spreads], [spread.high - spread.median for spread in spreads]],
        label=label,
        color=colour,
        linestyle=line,
        linewidth=2.6 if contestant == OURS else 1.5,
        marker="o",
        markersize=4,
        capsize=3,
    )


def _dress(axis: Axes, *, title: str, unit: str, ticks: list[int]) -> None:
    axis.set_title(title)
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, labels=[str(tick) for tick in ticks])
    axis.set_xlabel("connections")
    axis.set_ylabel(unit)
    if "log" in unit:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
    else:
        axis.set_ylim(bottom=0)
    axis.grid(visible=True, color="#dddddd", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(*sys.argv[1:])
