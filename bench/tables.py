"""The results as tables, for a terminal and as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from bench.contestants import RECEIVERS, WORKERS
from bench.ratios import ratios
from bench.results import Results, Spread

TITLES = {contestant.name: contestant.title for contestant in (*RECEIVERS, *WORKERS)} | {
    "bare-stub": "limit: publish RPC alone, one thread, gRPC stub",
    "bare-relay": "limit: publish RPC alone, one thread, the relay's own call",
    "bare-client": "limit: publish RPC alone, one thread, generated client",
    "import": "bare import of flask, google.cloud.pubsub_v1, google.cloud.logging",
    "memory-store": "memory store",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How a part is shown: its columns are conditions (attributes of a cell), then values with their digits."""

    part: str
    heading: str
    conditions: Mapping[str, str]
    values: Mapping[str, tuple[str, int]]


_LATENCIES = {
    "p50 ms": ("p50_ms", 2),
    "p90 ms": ("p90_ms", 2),
    "p99 ms": ("p99_ms", 2),
    "p99.9 ms": ("p999_ms", 2),
    "max ms": ("max_ms", 1),
}
_LOAD = {
    "answers/s": ("per_second", 0),
    **_LATENCIES,
    "CPU s per 1,000": ("cpu_seconds_per_1000", 2),
    "PSS MB": ("pss_mb", 0),
}
_CONNECTIONS = {"connections": "connections"}

TABLES = (
    Table(part="receivers", heading="Receivers, closed loop, bodies of 200 B", conditions=_CONNECTIONS, values=_LOAD),
    Table(
        part="without order",
        heading="This receiver, events of no order: no ordering key, so that Pub/Sub takes many in one request",
        conditions=_CONNECTIONS,
        values=_LOAD,
    ),
    Table(
        part="steady",
        heading="Receivers, 200 requests/s whatever the answers take, 32 connections",
        conditions={},
        values=_LATENCIES | {"CPU s per 1,000": ("cpu_seconds_per_1000", 2)},
    ),
    Table(part="pushes", heading="Push endpoint, closed loop, one handler", conditions=_CONNECTIONS, values=_LOAD),
    Table(
        part="handlers",
        heading="Worker with many handlers for each event",
        conditions={"handlers": "handlers", **_CONNECTIONS},
        values=_LOAD,
    ),
    Table(part="two workers", heading="Two worker processes", conditions=_CONNECTIONS, values=_LOAD),
    Table(
        part="bodies",
        heading="Receiver with large bodies",
        conditions={"body B": "body_bytes", **_CONNECTIONS},
        values=_LOAD,
    ),
    Table(
        part="starts",
        heading="From the start of the process to its first answer, and its memory then",
        conditions={},
        values={
            "seconds": ("seconds", 3),
            "CPU seconds": ("cpu_seconds", 2),
            "PSS MB": ("pss_mb", 1),
            "RSS MB": ("rss_mb", 1),
        },
    ),
    Table(
        part="store",
        heading="Memory store",
        conditions={"remembered events": "remembered"},
        values={"claim and complete, us": ("claim_and_complete_us", 1), "RSS MB": ("rss_mb", 0)},
    ),
)


def shown(results: Results, *, style: str, heading: str) -> Iterator[str]:
    """Yield the text of each table that has rows: the parts, then the bounds.

    `style` is tabulate's name of a format, `heading` what stands before a heading.
    """
    for part in TABLES:
        rows = [
            [
                TITLES[cell.contestant],
                *(f"{getattr(cell, name):,}" for name in part.conditions.values()),
                *(_figure(values.get(name), digits) for name, digits in part.values.values()),
            ]
            for cell, values in results.cells(part.part)
        ]
        if rows:
            heads = ["", *part.conditions, *part.values]
            yield f"{heading}{part.heading}\n\n{table(rows, heads, style=style)}"
    rows = [
        [ratio.name, f"{ratio.value:.2f}", ratio.wanted, "reached" if ratio.is_reached else "NOT REACHED"]
        for ratio in ratios(results)
    ]
    if rows:
        yield f"{heading}What it must show\n\n{table(rows, ['', 'figure', 'wanted', ''], style=style)}"


def table(rows: Sequence[Sequence[str]], heads: Sequence[str], *, style: str) -> str:
    """Return a table whose first column is text and whose others are figures, as they stand."""
    align = ("left", *("right" for _ in heads[1:]))
    return tabulate(rows, headers=heads, tablefmt=style, disable_numparse=True, colalign=align)


def _figure(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return ""
    if spread.low == spread.high:
        return f"{spread.median:,.{digits}f}"
    return f"{spread.median:,.{digits}f} ({spread.low:,.{digits}f}-{spread.high:,.{digits}f})"
