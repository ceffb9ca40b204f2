"""Idempotency stores: which handler has finished which event. This file is the port; each other one a store."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Completion(StrEnum):
    """How a handler run ended for good."""

    HANDLED = "handled"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to run one handler for one event, until the lease ends. Only its holder can settle the run."""

    key: str
    token: int
    """The fencing token: higher than that of every earlier claim of this key."""
    generation: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Another delivery holds the claim."""


@dataclass(frozen=True, slots=True)
class Done:
    """The run has ended before, in this way."""

    completion: Completion


class Store(Protocol):
    """Remembers runs by key. Every method is atomic, and raises StoreError when the store cannot answer.

    A claim has two clocks. The lease says how long a silent holder is believed to be alive; the retention
    says how long a completed run is remembered:

        claim ----- lease -----> free again       (the holder died)
        claim -- complete ----------------- retention -----------------> forgotten
        claim -- release -> free again            (the run failed)
    """

    def claim(self, key: str, *, generation: int, reruns_completed: bool, lease_seconds: float) -> Claim | Busy | Done:
        """Claim the run of `key`, unless somebody holds it or it is done.

        A run that ended as REJECTED is done for its own generation: a redrive (a higher one) may claim it. One
        that ended as HANDLED stays done for a redrive; only a replay (`reruns_completed`) of a higher generation
        may claim it.
        """
        ...

    def complete(self, claim: Claim, completion: Completion, *, retention_seconds: float) -> None:
        """Record that the run has ended. Raises ClaimLost if the claim is no longer ours."""
        ...

    def release(self, claim: Claim) -> None:
        """Give the claim back, so that the next delivery runs. Raises ClaimLost if it is no longer ours."""
        ...
