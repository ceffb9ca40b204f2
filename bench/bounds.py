"""What the relay must show: figures made of each round's measurements, and the limit that their median must keep."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import truediv

from bench.plan import CONNECTIONS
from bench.results import Cell, Results

Measured = tuple[Cell, str]
"""A cell, and the name of a value in it."""


@dataclass(frozen=True, slots=True)
class Bound:
    """`figure` takes one round's value of each of `of`, in this order."""

    text: str
    of: tuple[Measured, ...]
    figure: Callable[..., float] = truediv
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A bound with the figures of all rounds."""

    bound: Bound
    figures: list[float]

    @property
    def median(self) -> float:
        """The median of the figures."""
        return statistics.median(self.figures)

    @property
    def is_reached(self) -> bool:
        """Whether the median keeps the limit."""
        low, high = self.bound.at_least, self.bound.at_most
        return (low is None or self.median >= low) and (high is None or self.median <= high)

    def __str__(self) -> str:
        low, high = self.bound.at_least, self.bound.at_most
        wanted = f"at most {high:g}" if low is None else f"at least {low:g}"
        spread = f"{min(self.figures):.2f} to {max(self.figures):.2f}"
        return (
            f"{self.bound.text}: {self.median:.2f} ({spread}), {wanted}: {'reached' if self.is_reached else 'MISSED'}"
        )


def judged(results: Results) -> Iterator[Judgement]:
    """Yield a judgement for each bound whose cells were measured."""
    for bound in BOUNDS:
        rounds = zip(*(results.values(cell, name) for cell, name in bound.of), strict=True)
        if figures := [bound.figure(*values) for values in rounds]:
            yield Judgement(bound=bound, figures=figures)


def _cell(part: str, contestant: str, delay_ms: int, connections: int, value: str) -> Measured:
    return Cell(part=part, contestant=contestant, delay_ms=delay_ms, connections=connections), value


def _answers(contestant: str, delay_ms: int = 0, connections: int = 1, value: str = "per_second") -> Measured:
    return _cell("answers", contestant, delay_ms, connections, value)


def _starts(value: str) -> tuple[Measured, ...]:
    return _cell("starts", "receiver", 0, 0, value), _cell("starts", "import", 0, 0, value)


BOUNDS = (
    Bound(
        "15 ms, 1 connection: answers/s / FastAPI's", (_answers("receiver", 15), _answers("fastapi", 15)), at_least=0.95
    ),
    Bound(
        "15 ms, 1 connection: answers/s / the sample's",
        (_answers("receiver", 15), _answers("sample", 15)),
        at_least=1.5,
    ),
    Bound(
        "15 ms, 80 connections: answers/s / the sample's",
        (_answers("receiver", 15, 80), _answers("sample", 15, 80)),
        at_least=3,
    ),
    Bound(
        "15 ms, 200/s: p99 / (twice that of the RPC alone + 10 ms)",
        (_cell("steady", "receiver", 15, 0, "p99_ms"), _answers("rpc", 15, value="p99_ms")),
        figure=lambda ours, rpc: ours / (2 * rpc + 10),
        at_most=1,
    ),
    Bound(
        "no delay, 1 connection: median / (that of the no-op view + that of the RPC alone)",
        tuple(_answers(name, value="p50_ms") for name in ("receiver", "noop", "rpc")),
        figure=lambda ours, noop, rpc: ours / (noop + rpc),
        at_most=1.45,
    ),
    Bound(
        "no delay, 1 connection: the sample's median / ours",
        (_answers("sample", value="p50_ms"), _answers("receiver", value="p50_ms")),
        at_least=9,
    ),
    *(
        Bound(
            f"{connections} connection{'s' if connections > 1 else ''}: pushes/s / those of the no-op view",
            tuple(_cell("pushes", name, 0, connections, "per_second") for name in ("worker", "noop-worker")),
            at_least=0.5,
        )
        for connections in CONNECTIONS
    ),
    Bound("cold start to the first 202 / the bare import", _starts("seconds"), at_most=1.4),
    Bound("memory after the first 202 / the bare import's", _starts("pss_mb"), at_most=1.45),
    Bound(
        "15 ms, 80 connections: what the proxy carries / the quickest contestant's answers/s",
        tuple(_answers(name, 15, 80) for name in ("proxy", "receiver", "fastapi")),
        figure=lambda proxy, *contestants: proxy / max(contestants),
        at_least=1.2,
    ),
)
