"""What is measured: samples, each of one cell of the tables, and their medians and spread."""

import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict


class Cell(BaseModel):
    """What was measured, and under which conditions; samples of equal cells are rounds of one measurement."""

    model_config = ConfigDict(frozen=True)

    part: str
    contestant: str
    connections: int = 0
    body_bytes: int = 0
    workers: int = 1
    handlers: int = 0
    remembered: int = 0
    """Events that the memory store remembers before the measurement."""
    requests_per_second: int = 0
    """The rate of an open loop; 0 for a closed one."""


class Sample(BaseModel):
    """One measurement of a cell; each value's name says its unit."""

    cell: Cell
    values: dict[str, float]


class Spread(BaseModel):
    """The rounds of one value, condensed."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Condense at least one value."""
        known = list(values)
        return cls(median=statistics.median(known), low=min(known), high=max(known))


class Results(BaseModel):
    """All samples of one run, and what they were taken on."""

    machine: dict[str, str]
    samples: list[Sample] = []

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote. Raises OSError or ValidationError."""
        return cls.model_validate_json(file.read_bytes())

    def write(self, file: Path) -> None:
        """Write everything as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.model_dump_json(indent=1))

    def forget(self, cell: Cell) -> None:
        """Take the samples of a cell out."""
        self.samples = [sample for sample in self.samples if sample.cell != cell]

    def cells(self, part: str) -> Iterator[tuple[Cell, dict[str, Spread]]]:
        """Yield the cells of a part in the order in which they were first measured, with each value's spread."""
        groups: dict[Cell, list[Sample]] = {}
        for sample in self.samples:
            if sample.cell.part == part:
                groups.setdefault(sample.cell, []).append(sample)
        for cell, samples in groups.items():
            names = samples[0].values
            yield cell, {name: Spread.of(sample.values[name] for sample in samples) for name in names}
