"""Results: one sample for each measurement of each round, and what was measured on which machine."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

_SHOWN = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "max_ms": 100.0}


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """Return p50, p90, p99 and the maximum of at least one latency, by nearest rank."""
    known = sorted(latencies_ms)
    return {name: known[max(0, math.ceil(len(known) * percent / 100) - 1)] for name, percent in _SHOWN.items()}


class Cell(BaseModel):
    """What is measured, under which conditions. Each round adds one sample to each cell; `starts` adds several."""

    model_config = ConfigDict(frozen=True)

    part: str
    contestant: str
    delay_ms: int = 0
    """What the proxy adds to each publish."""
    connections: int = 0


class Sample(BaseModel):
    """One measurement; the name of each value says its unit."""

    cell: Cell
    values: dict[str, float]

    def __str__(self) -> str:
        values = " ".join(f"{name}={value:.4g}" for name, value in self.values.items())
        return f"{self.cell}: {values}"


class Results(BaseModel):
    """All samples of one run, in the order of the measurements."""

    machine: dict[str, str]
    samples: list[Sample] = []

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote. Raises OSError or ValidationError."""
        return cls.model_validate_json(file.read_bytes())

    def write(self, file: Path) -> None:
        """Write everything as JSON, one sample a line."""
        samples = ",\n".join(sample.model_dump_json(exclude_defaults=True) for sample in self.samples)
        machine = Results(machine=self.machine).model_dump_json(include={"machine"})
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'{machine[:-1]},"samples":[\n{samples}\n]}}\n')

    def values(self, cell: Cell, name: str) -> list[float]:
        """Return a value of a cell, one for each round; an empty list if the cell was not measured."""
        return [sample.values[name] for sample in self.samples if sample.cell == cell and name in sample.values]

    def cells(self) -> Iterator[Cell]:
        """Yield each cell once, in the order of the first measurements."""
        yield from dict.fromkeys(sample.cell for sample in self.samples)
