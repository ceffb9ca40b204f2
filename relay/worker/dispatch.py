"""One delivery: which handlers run, how each run ends, and what Pub/Sub is told. No Flask, no Google.

A thread of its own claims, runs and settles each handler run, so that the worker can nack a run that exceeds its
budget while the thread goes on. If that run succeeds later, it completes its claim, and the next delivery is a
duplicate. Until then the claim keeps other deliveries from running the handler.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from relay import moments
from relay.errors import (
    ClaimLost,
    ConfigurationError,
    MessageTooLarge,
    NotRecorded,
    PublishError,
    StoreError,
    UnreadableContent,
)
from relay.events import Delivery, moment_of, read_content
from relay.onestock.changes import Change
from relay.registry import ANY_EVENT_TYPE, Handler, Registry, Reject, Retry
from relay.settings.worker import WorkerSettings
from relay.stores import Busy, ClaimRequest, Completion, Done, Sequence, Stale, Store
from relay.stores.once import Hold, Once
from relay.worker import smoke
from relay.worker.budget import BudgetRunner, JobRaised, OverBudget, TooManyOverdue
from relay.worker.outcome import Outcome

_READING = "(content)"  # Stands for the handler where no handler can read the event; no handler can have this name.

logger = logging.getLogger(__name__)


_End = tuple[Outcome, str | None]
"""How a run ended, and why: one line for people."""

_FROM_BEST_TO_WORST = list(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerRun:
    """How one handler's part of a delivery ended; the reason is one line for people."""

    handler: str
    outcome: Outcome
    latency_seconds: float
    reason: str | None = None
    is_catch_all: bool = False
    """Whether the handler takes every event type."""


class _RunFailed(Exception):
    """A handler run ended neither as handled nor as rejected: its claim is given back."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class QuarantinePort(Protocol):
    """Where the worker puts events that no further attempt can help."""

    def put(self, delivery: Delivery, *, reason: str, handler: str | None) -> None:
        """Keep the event for a person. Raises PublishError or MessageTooLarge if it is not kept."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a handler may run, a claim outlives a dead worker, and a completed run is remembered; in seconds."""

    budget_seconds: float
    lease_seconds: float
    retention_seconds: float
    date_tolerance_seconds: int = 2
    """How far the date of a synthetic event may be from that of what OneStock sent for the same change."""
    max_overdue_runs: int = 32
    """From so many runs on that go on after their budget, no other run is started."""

    @classmethod
    def of(cls, settings: WorkerSettings) -> Self:
        """Return the limits that are set."""
        return cls(
            budget_seconds=settings.handler_budget_seconds,
            lease_seconds=settings.lease_seconds,
            retention_seconds=settings.retention_seconds,
            date_tolerance_seconds=settings.date_tolerance_seconds,
            max_overdue_runs=settings.max_overdue_runs,
        )


class Dispatcher:
    """Runs the handlers of a delivery, each at most once to completion."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        quarantine: QuarantinePort,
        *,
        limits: Limits,
        ack_deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raise ConfigurationError if the handlers of one event may take longer than Pub/Sub waits."""
        most = registry.most_handlers_for_one_event
        if most * limits.budget_seconds >= ack_deadline_seconds:
            raise ConfigurationError(
                f"HANDLER_BUDGET_SECONDS: {most} handlers of one event with {limits.budget_seconds:g} s each reach "
                f"ACK_DEADLINE_SECONDS ({ack_deadline_seconds:g}); lower the budget"
            )
        self._registry = registry
        self._quarantine = quarantine
        self._limits = limits
        self._clock = clock
        self._once = Once(store, retention_seconds=limits.retention_seconds, clock=clock)
        self._runner: BudgetRunner[_End] = BudgetRunner(max_overdue=limits.max_overdue_runs)

    @property
    def is_overloaded(self) -> bool:
        """Whether so many handler runs go on after their budget that no delivery is handled any more."""
        return self._runner.is_full

    def dispatch(self, delivery: Delivery) -> tuple[Outcome, list[HandlerRun]]:
        """Return how the delivery ended: the worst of its handlers' ends, and each of them."""
        try:
            content = _content_of(delivery)
        except UnreadableContent as error:
            reason = str(error)
            run = self._within_budget(_READING, lambda: self._quarantine_unread(delivery, reason))
            return run.outcome, [run]
        handlers = smoke.handlers_for(delivery, self._registry)
        if delivery.only_handler:
            handlers = tuple(handler for handler in handlers if handler.name == delivery.only_handler)
            if not handlers:
                return Outcome.UNHANDLED, [_run_of_nobody(delivery)]
        runs = [self._run(handler, delivery, content) for handler in handlers]
        return max((run.outcome for run in runs), key=_FROM_BEST_TO_WORST.index, default=Outcome.UNHANDLED), runs

    def _run(self, handler: Handler, delivery: Delivery, content: dict[str, Any]) -> HandlerRun:
        request = self._request(handler, delivery, content)
        run = self._within_budget(
            handler.name,
            lambda: self._run_once(request, lambda hold: self._handle(handler, delivery, content, hold)),
        )
        return replace(run, is_catch_all=ANY_EVENT_TYPE in handler.event_types)

    def _within_budget(self, name: str, job: Callable[[], _End]) -> HandlerRun:
        """Run `job`, and leave it to itself when the budget is used up."""
        started = self._clock()
        budget_seconds = self._limits.budget_seconds
        try:
            outcome, reason = self._runner.run(job, budget_seconds=budget_seconds)
        except OverBudget:
            outcome, reason = Outcome.TIMED_OUT, f"still running after its budget of {budget_seconds:g} s"
        except TooManyOverdue:
            most = self._limits.max_overdue_runs
            outcome, reason = Outcome.OVERLOADED, f"not started: {most} runs go on after their budget; a handler hangs"
        except JobRaised as error:
            outcome, reason = Outcome.FAILED, f"the handler ended its thread: {error.__cause__!r}"
        return HandlerRun(handler=name, outcome=outcome, latency_seconds=self._clock() - started, reason=reason)

    def _run_once(self, request: ClaimRequest, work: Callable[[Hold], tuple[Completion, _End]]) -> _End:
        try:
            return _end_of(request, self._once.run(request, work))
        except _RunFailed as error:
            return error.outcome, error.reason
        except (StoreError, NotRecorded) as error:
            return Outcome.STORE_UNAVAILABLE, str(error)
        except ClaimLost as error:
            logger.error("The run ended too late: %s", error)  # noqa: TRY400 - the text says it all
            return Outcome.TIMED_OUT, str(error)

    def _handle(
        self, handler: Handler, delivery: Delivery, content: dict[str, Any], hold: Hold
    ) -> tuple[Completion, _End]:
        try:
            handler.run(handler.model.of(delivery, content, check_claim=hold.check))
        except (Reject, UnreadableContent) as error:
            return self._reject(delivery, reason=_text_of(error), handler=handler.name)
        except Retry as error:
            raise _RunFailed(Outcome.RETRY, _text_of(error)) from error
        except ClaimLost as error:
            # Logged here: if the run was left at its budget, nobody reads its end.
            logger.error("The run went on too late: %s", error)  # noqa: TRY400 - the text says it all
            raise _RunFailed(Outcome.TIMED_OUT, str(error)) from error
        except Exception as error:
            # Unknown means retry: whatever a handler did not foresee may pass.
            logger.exception("Handler %s failed; the event is delivered again", handler.name)
            raise _RunFailed(Outcome.FAILED, _text_of(error)) from error
        return Completion.HANDLED, (Outcome.HANDLED, None)

    def _quarantine_unread(self, delivery: Delivery, reason: str) -> _End:
        request = self._dateless_request(_READING, delivery)
        return self._run_once(request, lambda _: self._reject(delivery, reason=reason, handler=None))

    def _reject(self, delivery: Delivery, *, reason: str, handler: str | None) -> tuple[Completion, _End]:
        try:
            self._quarantine.put(delivery, reason=reason, handler=handler)
        except (PublishError, MessageTooLarge) as error:
            text = f"{reason}; and it could not be copied to the dead-letter topic: {error}"
            raise _RunFailed(Outcome.QUARANTINE_FAILED, text) from error
        return Completion.REJECTED, (Outcome.QUARANTINED, reason)

    def _request(self, handler: Handler, delivery: Delivery, content: dict[str, Any]) -> ClaimRequest:
        request = self._dateless_request(handler.name, delivery)
        occurred_at = moment_of(content.get("date"))
        if occurred_at is None:
            return request
        sequence = None
        if handler.latest_only and delivery.ordering_key:
            sequence = Sequence(f"latest/{delivery.ordering_key}/{handler.name}", occurred_at.timestamp())
        change = Change.in_event(delivery.event_type, content)
        tolerance_seconds = self._limits.date_tolerance_seconds if delivery.is_synthetic else 0
        changes = change.identities(tolerance_seconds=tolerance_seconds) if change else []
        change_keys = tuple(f"{identity}/{handler.name}" for identity in changes)
        return replace(request, received_at=None, sequence=sequence, change_keys=change_keys)

    def _dateless_request(self, name: str, delivery: Delivery) -> ClaimRequest:
        return ClaimRequest(
            key=f"{delivery.event_id}/{name}",
            event_id=delivery.event_id,
            is_synthetic=delivery.is_synthetic,
            lease_seconds=self._limits.lease_seconds,
            generation=delivery.generation,
            reruns_completed=delivery.reruns_completed,
            received_at=delivery.received_at.timestamp(),
        )


def _end_of(request: ClaimRequest, ended: _End | Busy | Done | Stale) -> _End:
    """Return how a run ended; a refused claim is such an end, too."""
    match ended:
        case Busy():
            return Outcome.BUSY, "another delivery of this event, of its change or of its order is running"
        case Done():
            other = f" as event {ended.event_id}" if ended.event_id != request.event_id else ""
            return Outcome.DUPLICATE, f"already {ended.completion}{other}"
        case Stale():
            latest = moments.shown(datetime.fromtimestamp(ended.latest, UTC))
            return Outcome.STALE, f"an event of {latest} was handled for this order"
    return ended


def _run_of_nobody(delivery: Delivery) -> HandlerRun:
    name = delivery.only_handler
    reason = (
        "no handler of this name handles this event type, and the redrive asked for this one alone; if it has another "
        f"name, pin the old one with @on(..., name={name!r})"
    )
    return HandlerRun(handler=name, outcome=Outcome.UNHANDLED, latency_seconds=0.0, reason=reason)


def _content_of(delivery: Delivery) -> dict[str, Any]:
    if delivery.damage is not None:
        raise UnreadableContent(delivery.damage)
    return read_content(delivery.body)


def _text_of(error: Exception) -> str:
    return str(error) if isinstance(error, Reject | Retry | UnreadableContent) else f"{type(error).__name__}: {error}"
