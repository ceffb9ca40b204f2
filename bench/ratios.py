"""What issue "Fast" asks for, as ratios within one run: each with its figure, its bound, and whether it is reached."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One figure and its bound."""

    name: str
    value: float
    bound: float
    at_most: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the figure is on the right side of its bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound


class Medians:
    """The medians of all cells, found by what was measured."""

    def __init__(self, results: Results) -> None:
        parts = dict.fromkeys(sample.cell.part for sample in results.samples)
        self._cells = [cell for part in parts for cell in results.cells(part)]

    def of(self, name: str, **conditions: str | int) -> float:
        """Return a value's median in the first cell that meets the conditions. Raises LookupError if none does."""
        for cell, values in self._cells:
            if name in values and all(getattr(cell, key) == value for key, value in conditions.items()):
                return values[name].median
        raise LookupError(f"not measured: {name} of {conditions}")

    def receiver(self, name: str, contestant: str, connections: int) -> float:
        """Return a median of part `receivers`."""
        return self.of(name, part="receivers", contestant=contestant, connections=connections)


def ratios(results: Results) -> Iterator[Ratio]:
    """Yield the ratios whose cells were measured."""
    medians = Medians(results)
    for make in (_one_connection, _sixty_four_connections):
        yield from _measured(make(medians))


def _measured(makers: Iterator[Callable[[], Ratio]]) -> Iterator[Ratio]:
    for make in makers:
        try:
            yield make()
        except LookupError:
            continue


def _one_connection(medians: Medians) -> Iterator[Callable[[], Ratio]]:
    def against_limits(kind: str) -> Ratio:
        floor = medians.receiver("p50_ms", "noop", 1) + medians.receiver("p50_ms", f"bare-{kind}", 1)
        return Ratio(
            name=f"1 connection: median / (no-op + bare Publish, {kind})",
            value=medians.receiver("p50_ms", "receiver", 1) / floor,
            bound=1.15,
            at_most=True,
        )

    yield lambda: against_limits("stub")
    yield lambda: against_limits("client")
    yield lambda: Ratio(
        name="1 connection: usual sample's median / ours",
        value=medians.receiver("p50_ms", "sample", 1) / medians.receiver("p50_ms", "receiver", 1),
        bound=8,
    )


def _sixty_four_connections(medians: Medians) -> Iterator[Callable[[], Ratio]]:
    def against(other: str, bound: float) -> Callable[[], Ratio]:
        return lambda: Ratio(
            name=f"64 connections: throughput / {other}'s",
            value=medians.receiver("per_second", "receiver", 64) / medians.receiver("per_second", other, 64),
            bound=bound,
        )

    yield against("sample", 4)
    yield against("functions", 1)
    yield against("fastapi", 1)
    yield against("fastapi-async", 1)
    yield against("noop", 0.75)
