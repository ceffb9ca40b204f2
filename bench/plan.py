"""How much is measured: what `make bench` takes from its options."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rounds, and for each measurement its seconds; `only` names contestants (empty: all)."""

    rounds: int
    seconds: float
    connections: tuple[int, ...]
    only: tuple[str, ...] = ()

    def wants(self, contestant: str) -> bool:
        """Return whether the contestant is measured."""
        return not self.only or contestant in self.only
