"""The results as tables, for a terminal and as Markdown."""

from collections.abc import Sequence

from tabulate import tabulate

from bench.contestants import CONTESTANTS
from bench.ratios import ratios
from bench.results import Results, Spread

TITLES = {contestant.name: contestant.title for contestant in CONTESTANTS} | {
    "bare-stub": "limit: bare publish RPC, one thread (gRPC stub)",
    "bare-client": "the same with the generated client",
}


def receivers(results: Results, *, style: str) -> str:
    """Return a row for each contestant and number of connections. `style` is tabulate's name of a format."""
    rows = [
        [
            TITLES[cell.contestant],
            cell.connections,
            _shown(values["per_second"], 0),
            *(_shown(values[name], 2) for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")),
            _shown(values["cpu_seconds_per_1000"], 2),
        ]
        for cell, values in results.cells("receivers")
    ]
    heads = ["", "connections", "answers/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "CPU s per 1,000"]
    return table(rows, heads, style=style)


def bounds(results: Results, *, style: str) -> str:
    """Return a row for each ratio that this run can tell."""
    rows = [
        [
            ratio.name,
            f"{ratio.value:.2f}",
            f"{'at most' if ratio.at_most else 'at least'} {ratio.bound:g}",
            "reached" if ratio.is_reached else "NOT REACHED",
        ]
        for ratio in ratios(results)
    ]
    return table(rows, ["", "figure", "wanted", ""], style=style)


def table(rows: Sequence[Sequence[object]], heads: Sequence[str], *, style: str) -> str:
    """Return a table whose cells stand as they are."""
    align = ("left", *("right" for _ in heads[1:]))
    return tabulate(rows, headers=heads, tablefmt=style, disable_numparse=True, colalign=align if rows else None)


def _shown(spread: Spread, digits: int) -> str:
    if spread.low == spread.high:
        return f"{spread.median:,.{digits}f}"
    return f"{spread.median:,.{digits}f} ({spread.low:,.{digits}f}-{spread.high:,.{digits}f})"
