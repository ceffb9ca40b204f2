"""What every store remembers, and the rules by which a claim is granted. No I/O: records in, a verdict out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from relay.stores import Busy, ClaimRequest, Completion, Done, Stale


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One handler's run for one event, or its turns for one order. Times are in Unix seconds."""

    expires_at: float
    """When the record means nothing any more, and may be removed."""
    held_until: float | None = None
    """The end of the holder's lease; None while nobody holds the claim."""
    completion: Completion | None = None
    """How the last run that ended did so; None before the first."""
    generation: int = 0
    """The generation that ended so."""
    received_at: float | None = None
    """When the event that ended so was received; kept for events without a date only."""
    event_id: str = ""
    """The event that claimed the run last."""
    is_synthetic: bool = False
    """Whether that event was made up from what OneStock's API tells."""
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
            expires_at=max(before.expires_at, held_until),
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
        )


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
    - One that ended as HANDLED stays done for a redrive; only a replay of a higher generation may claim it.
    - An event without a date that arrived more than the window apart from the one that ended is another event.
    - So is an event of the same change with another body, if neither is synthetic: raises AnotherEvent.
    - An event older than the latest one handled for its order is stale; one of the same second is not.
    """
    for run in runs:
        if run is None or run.expires_at <= now:
            continue
        if request.change_keys and run.event_id != request.event_id and not (run.is_synthetic or request.is_synthetic):
            raise AnotherEvent
        if _is_held(run, now):
            return Busy()
        if run.completion is not None and not _may_run_again(request, run, dateless_window_seconds):
            return Done(run.completion, run.event_id)
    if request.sequence is not None and order is not None and order.expires_at > now:
        if _is_held(order, now):
            return Busy()
        if order.moment is not None and request.sequence.moment < order.moment:
            return Stale(order.moment)
    return None


def _is_held(record: Record, now: float) -> bool:
    return record.held_until is not None and record.held_until > now


def _may_run_again(request: ClaimRequest, run: Record, dateless_window_seconds: float) -> bool:
    if request.received_at is not None and run.received_at is not None:
        is_another_event = abs(request.received_at - run.received_at) > dateless_window_seconds
        if is_another_event:
            return True
    may_by_purpose = run.completion is Completion.REJECTED or request.reruns_completed
    return may_by_purpose and request.generation > run.generation
