"""What every store remembers, and the rules by which a claim is granted. No I/O: records in, a refusal or None out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, EndedRun, Stale

CLOCKS_DIFFER_SECONDS = 3_600  # A record outlives its lease by this, so that a wrong clock never removes a held claim.
ENDED_RUNS_KEPT = 50  # Of equal events without a date: bounds the document, and is two days of one event every hour.


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One handler's run for one event, or its turns for one order. Times are in Unix seconds."""

    expires_at: float
    """When the store may forget the record."""
    held_until: float | None = None
    """The end of the holder's lease; None while nobody holds the claim."""
    ended_runs: tuple[EndedRun, ...] = ()
    """The run that ended last; of equal events without a date each one's, as they ended."""
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
        )

    @classmethod
    def ended(cls, claim: Claim, completion: Completion, *, expires_at: float) -> Self:
        """Return the record of the claimed run once it has ended."""
        request = claim.request
        run = EndedRun(
            completion=completion,
            event_id=request.event_id,
            is_synthetic=request.is_synthetic,
            generation=request.generation,
            received_at=request.received_at,
        )
        return cls(expires_at=expires_at, ended_runs=(*claim.ended_beside, run)[-ENDED_RUNS_KEPT:])

    def is_held(self, now: float) -> bool:
        """Return whether somebody holds the claim."""
        return self.held_until is not None and self.held_until > now

    def ended_run(self, request: ClaimRequest, dateless_window_seconds: float) -> EndedRun | None:
        """Return how the run of the same event ended; without a date, of the one received nearest in the window."""
        apart = {_seconds_apart(request, run): run for run in self.ended_runs}
        nearest = min(apart, default=None)
        return None if nearest is None or nearest > dateless_window_seconds else apart[nearest]


class AnotherEvent(Exception):
    """OneStock sent another event of this change, and its run has ended: this run is recorded by its event alone."""


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
    - An event without a date is another event if each one that ended was received more than the window apart from it.
      Else it is the nearest of them: each has its own completion and generation, to which the rules above apply.
    - An event of the same change with another body is another event, if neither is synthetic: raises AnotherEvent once
      the run has ended. A run that failed is free for either, so that a run that is recorded by its event alone always
      stands beside a run of the change that has ended, and is not forgotten before the retention ends.
    - An event older than the latest one handled for its order is stale; one of the same second is not.
    """
    for run in runs:
        if run is None:
            continue
        if run.is_held(now):
            return Busy()
        ended = run.ended_run(request, dateless_window_seconds)
        if ended is None or run.expires_at <= now:
            continue
        if _is_of_another_event(request, ended):
            raise AnotherEvent
        if not _may_run_again(request, ended):
            return Done(ended.completion, ended.event_id)
    if request.sequence is None or order is None:
        return None
    if order.is_held(now):
        return Busy()
    if order.moment is not None and order.expires_at > now and request.sequence.moment < order.moment:
        return Stale(order.moment)
    return None


def ended_beside(
    request: ClaimRequest, run: Record | None, *, now: float, dateless_window_seconds: float
) -> tuple[EndedRun, ...]:
    """Return what the record `run` keeps when the run that `request` claims has ended: the ends of other events."""
    if run is None or run.expires_at <= now:
        return ()
    own = run.ended_run(request, dateless_window_seconds)
    return tuple(ended for ended in run.ended_runs if ended is not own)


def _seconds_apart(request: ClaimRequest, ended: EndedRun) -> float:
    if request.received_at is None or ended.received_at is None:
        return 0.0  # The date in the body, which the key covers, has told them apart already.
    return abs(request.received_at - ended.received_at)


def _is_of_another_event(request: ClaimRequest, ended: EndedRun) -> bool:
    """Return whether OneStock sent both the event whose run ended and that of `request`, with different bodies."""
    is_one_synthetic = ended.is_synthetic or request.is_synthetic
    return bool(request.change_keys) and ended.event_id != request.event_id and not is_one_synthetic


def _may_run_again(request: ClaimRequest, ended: EndedRun) -> bool:
    if ended.completion is Completion.REJECTED and ended.is_synthetic and not request.is_synthetic:
        return True
    may_by_purpose = ended.completion is Completion.REJECTED or request.reruns_completed
    return may_by_purpose and request.generation > ended.generation
