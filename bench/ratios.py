"""What the relay must show, as ratios within one run: each with its figure, its bound, and whether it is reached."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One figure, and the bound that it must keep: `at_most`, or else at least."""

    name: str
    value: float
    bound: float
    at_most: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the figure is on the right side of its bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def wanted(self) -> str:
        """The bound in words."""
        return f"{'at most' if self.at_most else 'at least'} {self.bound:g}"


class Medians:
    """The medians of all cells, found by what was measured."""

    def __init__(self, results: Results) -> None:
        parts = dict.fromkeys(sample.cell.part for sample in results.samples)
        self._cells = [cell for part in parts for cell in results.cells(part)]

    def of(self, name: str, part: str, contestant: str, **conditions: int) -> float:
        """Return a value's median in the first cell that meets the conditions. Raises LookupError if none does."""
        wanted = {"part": part, "contestant": contestant, **conditions}
        for cell, values in self._cells:
            if name in values and all(getattr(cell, key) == value for key, value in wanted.items()):
                return values[name].median
        raise LookupError(f"{name} of {wanted} was not measured")


def ratios(results: Results) -> Iterator[Ratio]:
    """Yield the ratios whose cells were measured."""
    medians = Medians(results)
    for make in _RATIOS:
        try:
            yield make(medians)
        except LookupError:
            continue


def _above_limits(kind: str) -> Callable[[Medians], Ratio]:
    def make(medians: Medians) -> Ratio:
        view = medians.of("p50_ms", "receivers", "noop", connections=1)
        rpc = medians.of("p50_ms", "receivers", f"bare-{kind}", connections=1)
        ours = medians.of("p50_ms", "receivers", "receiver", connections=1)
        return Ratio(
            name=f"1 connection: median / (no-op view + bare Publish RPC, {kind})",
            value=ours / (view + rpc),
            bound=1.15,
            at_most=True,
        )

    return make


def _quicker_than_the_sample(medians: Medians) -> Ratio:
    sample = medians.of("p50_ms", "receivers", "sample", connections=1)
    ours = medians.of("p50_ms", "receivers", "receiver", connections=1)
    return Ratio(name="1 connection: the usual sample's median / ours", value=sample / ours, bound=8)


def _throughput(other: str, bound: float, part: str = "receivers") -> Callable[[Medians], Ratio]:
    def make(medians: Medians) -> Ratio:
        ours = medians.of("per_second", part, "receiver", connections=64)
        theirs = medians.of("per_second", "receivers", other, connections=64)
        condition = "" if part == "receivers" else f", {part}"
        return Ratio(name=f"64 connections{condition}: throughput / that of {other}", value=ours / theirs, bound=bound)

    return make


def _steady(name: str, label: str, bound_ms: float) -> Callable[[Medians], Ratio]:
    return lambda medians: Ratio(
        name=f"200 requests/s, 32 connections: {label} in ms",
        value=medians.of(name, "steady", "receiver"),
        bound=bound_ms,
        at_most=True,
    )


def _worker(connections: int) -> Callable[[Medians], Ratio]:
    def make(medians: Medians) -> Ratio:
        ours = medians.of("per_second", "pushes", "worker", connections=connections)
        noop = medians.of("per_second", "pushes", "noop-worker", connections=connections)
        return Ratio(name=f"push endpoint / no-op view, {connections} connections", value=ours / noop, bound=0.6)

    return make


def _start(name: str, label: str, bound: float) -> Callable[[Medians], Ratio]:
    return lambda medians: Ratio(
        name=f"{label} / that of the bare import",
        value=medians.of(name, "starts", "receiver") / medians.of(name, "starts", "import"),
        bound=bound,
        at_most=True,
    )


_AT_64_CONNECTIONS = {"sample": 4, "functions": 1, "fastapi": 1, "fastapi-async": 1, "noop": 0.75}

_RATIOS: tuple[Callable[[Medians], Ratio], ...] = (
    _above_limits("stub"),
    _above_limits("client"),
    _quicker_than_the_sample,
    *(_throughput(other, bound) for other, bound in _AT_64_CONNECTIONS.items()),
    *(_throughput(other, bound, "without order") for other, bound in _AT_64_CONNECTIONS.items()),
    _steady("p99_ms", "p99", 15),
    _steady("p999_ms", "p99.9", 50),
    _worker(1),
    _worker(8),
    _worker(64),
    _start("seconds", "cold start to the first 202", 1.25),
    _start("pss_mb", "memory after the first 202", 1.3),
)
