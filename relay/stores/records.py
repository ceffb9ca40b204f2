"""What every store remembers, and the rules by which a claim is granted. No I/O: records in, a refusal or None out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from relay.stores import Busy, ClaimRequest, Completion, Done, Stale

CLOCKS_DIFFER_SECONDS = 3_600  # A record outlives its lease by this, so that a wrong clock never removes a held claim.


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One handler's run for one event, or its turns for one order. Times are in Unix seconds."""

    expires_at: float
    """When the store may forget the record."""
    held_until: float | None = None
    """The end of the holder's lease; None while nobody holds the claim."""
    event_id: str = ""
    """The event that claimed the run last, whether or not its run ended."""
    is_synthetic: bool = False
    """Whether we made that event up from what OneStock's API tells."""
    completion: Completion | None = None
    """How the last run ended; None before the first one has."""
    generation: int = 0
    """The generation of the event whose run ended."""
    received_at: float | None = None
    """When the event whose run ended was received; kept for events without a date only."""
    ended_event_id: str = ""
    """The event whose run ended."""
    ended_is_synthetic: bool = False
    """Whether we made that event up."""
    moment: float | None = None
    """Of an order: when the latest event that was handled occurred."""

    @classmethod
    def claimed(cls, before: Self | None, request: ClaimRequest, now: float) -> Self:
        """Return the record while `request` holds the claim; what had ended `before` stays known."""
        held_until = now + request.lease_seconds
        if before is None or before.expires_at <= now:
            before = cls(expires_at=held_until)
        return replace(
            before,
            held_until=held_until,
            expires_at=max(before.expires_at, held_until + CLOCKS_DIFFER_SECONDS),
            event_id=request.event_id,
            is_synthetic=request.is_synthetic,
        )

    @classmethod
    def ended(cls, request: ClaimRequest, completion: Completion, *, expires_at: float) -> Self:
        """Return the record of a run once it has ended."""
        return cls(
            expires_at=expires_at,
            completion=completion,
            generation=request.generation,
            received_at=request.received_at,
            event_id=request.event_id,
            is_synthetic=request.is_synthetic,
            ended_event_id=request.event_id,
            ended_is_synthetic=request.is_synthetic,
        )

    def is_held(self, now: float) -> bool:
        """Return whether somebody holds the claim."""
        return self.held_until is not None and self.held_until > now


class AnotherEvent(Exception):
    """OneStock sent two different events of one change: the later one's run is recorded by its event alone."""


def judge(
    request: ClaimRequest,
    runs: Iterable[Record | None],
    order: Record | None,
    *,
    now: float,
    dateless_window_seconds: float,
) -> Busy | Done | Stale | None:
    """Return why `request` cannot have the claim, from the records of its run and of its order; None if it can.

    - A run that somebody holds is busy, and so is an order of which the same handler has another event at work.
    - A run that ended as REJECTED is done for its own generation; a higher one (a redrive) may claim it.
    - A run of a synthetic event that ended as REJECTED says nothing about the event that OneStock sends: that one runs.
    - A run that ended as HANDLED stays done for a redrive; only a replay of a higher generation may claim it.
    - An event without a date that arrived more than the window apart from the one that ended is another event.
    - So is an event of the same change with another body, if neither is synthetic: raises AnotherEvent.
    - An event older than the latest one handled for its order is stale; one of the same second is not.
    """
    for run in runs:
        if run is None or not (run.is_held(now) or run.expires_at > now):
            continue
        if request.change_keys and _is_of_another_event(request, run, now):
            raise AnotherEvent
        if run.is_held(now):
            return Busy()
        if run.completion is not None and not _may_run_again(request, run, dateless_window_seconds):
            return Done(run.completion, run.ended_event_id)
    if request.sequence is None or order is None:
        return None
    if order.is_held(now):
        return Busy()
    if order.moment is not None and order.expires_at > now and request.sequence.moment < order.moment:
        return Stale(order.moment)
    return None


def _is_of_another_event(request: ClaimRequest, run: Record, now: float) -> bool:
    """Return whether OneStock sent both the event of `run` and that of `request`, with different bodies."""
    is_claimers = run.completion is None or run.is_held(now)
    event_id = run.event_id if is_claimers else run.ended_event_id
    is_synthetic = run.is_synthetic if is_claimers else run.ended_is_synthetic
    return event_id != request.event_id and not (is_synthetic or request.is_synthetic)


def _may_run_again(request: ClaimRequest, run: Record, dateless_window_seconds: float) -> bool:
    if run.completion is Completion.REJECTED and run.ended_is_synthetic and not request.is_synthetic:
        return True
    if request.received_at is not None and run.received_at is not None:
        is_another_event = abs(request.received_at - run.received_at) > dateless_window_seconds
        if is_another_event:
            return True
    may_by_purpose = run.completion is Completion.REJECTED or request.reruns_completed
    return may_by_purpose and request.generation > run.generation
