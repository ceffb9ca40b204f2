"""Idempotency stores: which handler has finished which event. This file is the port; each other one a store."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol, Self


class Completion(StrEnum):
    """How a handler run ended for good."""

    HANDLED = "handled"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Sequence:
    """The place of an event among those of one order, for a handler that wants the latest only."""

    key: str
    """Handler and order."""
    moment: float
    """When the event occurred, in Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """What a delivery asks of the store before a handler runs."""

    key: str
    """The idempotency key: event and handler."""
    event_id: str = ""
    change_keys: tuple[str, ...] = ()
    """The idempotency keys of an event that tells of a change at OneStock: change and handler. Several, the likeliest
    first, where it is not certain which change. They stand in for `key`, so that a synthetic event and what OneStock
    sent for the same change are one run; see docs/decisions/0004-synthetic-events.md."""
    is_synthetic: bool = False
    """Whether we made the event up from what OneStock's API tells."""
    lease_seconds: float
    generation: int = 0
    """0 for what OneStock sent; each redrive or replay on purpose has a higher one."""
    reruns_completed: bool = False
    """Whether a higher generation may run what was handled already (a replay), or only what was rejected."""
    received_at: float | None = None
    """Unix seconds, for an event without a date: equal ones that arrive far apart are two events, not one."""
    sequence: Sequence | None = None
    """Set for a handler that wants the latest only."""

    @property
    def run_keys(self) -> tuple[str, ...]:
        """The keys of all records of this run."""
        return self.change_keys or (self.key,)

    @property
    def all_keys(self) -> tuple[str, ...]:
        """The keys of all records that a claim covers: the run's, and the order's."""
        return self.run_keys if self.sequence is None else (*self.run_keys, self.sequence.key)

    def by_event_alone(self) -> Self:
        """Return the request for a run that shares its record with no other event."""
        return replace(self, change_keys=())


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """How the run of one event ended for good."""

    completion: Completion
    event_id: str
    is_synthetic: bool
    generation: int
    received_at: float | None
    """Tells equal events without a date apart; None for an event with one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to run one handler for one event, until the lease ends. Only its holder can settle the run."""

    request: ClaimRequest
    token: int
    """The fencing token: higher than that of every earlier claim of this key."""
    holder: str = ""
    """A name made up for this claim, by which a store recognises its own unconfirmed writes."""
    ended_beside: tuple[EndedRun, ...] = ()
    """The ended runs of equal events without a date. Completing keeps them and needs no read for it: the fencing token
    proves that the record is still as it was claimed."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another delivery holds the claim, or the order's turn."""


@dataclass(frozen=True, slots=True)
class Done:
    """An earlier delivery ended the run, in this way."""

    completion: Completion
    event_id: str = field(default="", compare=False)
    """The event whose run ended: a different event where both tell of the same change."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A later event of the same order has been handled."""

    latest: float
    """When that one occurred, in Unix seconds."""


class Store(Protocol):
    """Remembers runs by key. Every method is atomic, and raises StoreError when the store cannot answer.

    A claim has two clocks. The lease says how long a silent holder is believed to be alive; the retention
    says how long a completed run is remembered:

        claim ----- lease -----> free again       (the holder died)
        claim -- complete ----------------- retention -----------------> forgotten
        claim -- release -> as it was before      (the run failed)

    One clock measures a lease, whatever the clocks of the workers say.
    """

    def claim(self, request: ClaimRequest) -> Claim | Busy | Done | Stale:
        """Claim a run, unless somebody holds it or it is done; `relay.stores.records.judge` has the rules."""
        ...

    def complete(self, claim: Claim, completion: Completion, *, retention_seconds: float) -> None:
        """Record that the run has ended. Calling it again for the same claim changes nothing.

        Raises ClaimLost if the claim is no longer ours.
        """
        ...

    def release(self, claim: Claim) -> None:
        """Give the claim back, so that the next delivery runs. Raises ClaimLost if it is no longer ours."""
        ...

    def holds(self, claim: Claim, *, for_seconds: float) -> bool:
        """Return whether the claim is still ours and its lease lasts for `for_seconds` more."""
        ...
