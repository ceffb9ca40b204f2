"""One delivery: which handlers run, how each run is settled, and what Pub/Sub is told. No Flask, no Google.

Each handler run is claimed, run and settled by a thread of its own, so that a run that exceeds its budget can be
nacked while the thread goes on: if it ends well after all, it completes its claim, and the next delivery finds it
done. Until then the claim keeps a second run away.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Protocol, Self, assert_never

from relay.errors import ClaimLost, ConfigurationError, MessageTooLarge, PublishError, StoreError, UnreadableContent
from relay.events import Delivery, moment_of, read_content
from relay.onestock.changes import Change
from relay.registry import Handler, Registry, Reject, Retry
from relay.settings.worker import WorkerSettings
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Sequence, Stale, Store
from relay.stores.completing import complete
from relay.worker import smoke
from relay.worker.budget import BudgetRunner, NoVerdict, OverBudget

_READING = "(content)"  # The name under which the verdict "nobody can read this" is remembered; no handler can have it.

logger = logging.getLogger(__name__)


class Outcome(StrEnum):
    """How a delivery, or one handler's part of it, ended. The order is from best to worst."""

    UNHANDLED = "unhandled"
    DUPLICATE = "duplicate"
    STALE = "stale"
    HANDLED = "handled"
    QUARANTINED = "quarantined"
    BUSY = "busy"
    RETRY = "retry"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    QUARANTINE_FAILED = "quarantine_failed"
    STORE_UNAVAILABLE = "store_unavailable"

    @property
    def status(self) -> HTTPStatus:
        """The answer to Pub/Sub: 204 is an ack, 503 a nack."""
        return _STATUS[self]


def _status_of(outcome: Outcome) -> HTTPStatus:
    match outcome:
        case Outcome.UNHANDLED | Outcome.DUPLICATE | Outcome.STALE | Outcome.HANDLED | Outcome.QUARANTINED:
            return HTTPStatus.NO_CONTENT
        case Outcome.BUSY | Outcome.RETRY | Outcome.TIMED_OUT | Outcome.FAILED:
            return HTTPStatus.SERVICE_UNAVAILABLE
        case Outcome.QUARANTINE_FAILED | Outcome.STORE_UNAVAILABLE:
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            assert_never(outcome)


_STATUS = {outcome: _status_of(outcome) for outcome in Outcome}
_FROM_BEST_TO_WORST = list(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one handler's part of a delivery ended; the reason is one line for people."""

    handler: str
    outcome: Outcome
    latency_seconds: float
    reason: str | None = None


class DeadLetters(Protocol):
    """Where events go that trying again cannot help."""

    def put(self, delivery: Delivery, *, reason: str, handler: str | None) -> None:
        """Keep the event for a person. Raises PublishError or MessageTooLarge if it is not kept."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds that a handler may run, that a claim outlives a dead worker, and that a completed run is remembered."""

    budget_seconds: float
    lease_seconds: float
    retention_seconds: float
    date_tolerance_seconds: int = 2
    """How far the date of a synthetic event may be from that of what OneStock sent for the same change."""

    @classmethod
    def of(cls, settings: WorkerSettings) -> Self:
        """Return the limits that are set."""
        return cls(
            budget_seconds=settings.handler_budget_seconds,
            lease_seconds=settings.lease_seconds,
            retention_seconds=settings.retention_seconds,
            date_tolerance_seconds=settings.date_tolerance_seconds,
        )


class Dispatcher:
    """Runs the handlers of a delivery, each at most once to completion."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        dead_letters: DeadLetters,
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
        self._store = store
        self._dead_letters = dead_letters
        self._limits = limits
        self._clock = clock
        self._runner: BudgetRunner[tuple[Outcome, str | None]] = BudgetRunner()

    def dispatch(self, delivery: Delivery) -> tuple[Outcome, list[Run]]:
        """Return how the delivery ended: the worst of its handlers' ends, and each of them."""
        try:
            content = _content_of(delivery)
        except UnreadableContent as error:
            reason = str(error)
            run = self._within_budget(_READING, lambda: self._quarantine_unread(delivery, reason))
            return run.outcome, [run]
        handlers = smoke.handlers_for(delivery, self._registry)
        runs = [self._run(handler, delivery, content) for handler in handlers]
        return max((run.outcome for run in runs), key=_FROM_BEST_TO_WORST.index, default=Outcome.UNHANDLED), runs

    def _run(self, handler: Handler, delivery: Delivery, content: dict[str, Any]) -> Run:
        return self._within_budget(handler.name, lambda: self._claim_and_run(handler, delivery, content))

    def _within_budget(self, name: str, attempt: Callable[[], tuple[Outcome, str | None]]) -> Run:
        """Run `attempt`, and leave it to itself when the budget is used up."""
        started = self._clock()
        budget_seconds = self._limits.budget_seconds
        reason: str | None
        try:
            outcome, reason = self._runner.run(attempt, budget_seconds=budget_seconds)
        except OverBudget:
            outcome, reason = Outcome.TIMED_OUT, f"still running after its budget of {budget_seconds:g} s"
        except NoVerdict as error:
            outcome, reason = Outcome.FAILED, f"the run ended without a verdict: {error.__cause__!r}"
        return Run(handler=name, outcome=outcome, latency_seconds=self._clock() - started, reason=reason)

    def _claim_and_run(
        self, handler: Handler, delivery: Delivery, content: dict[str, Any]
    ) -> tuple[Outcome, str | None]:
        claim = self._claim(self._request(handler, delivery, content))
        if not isinstance(claim, Claim):
            return claim
        try:
            handler.run(handler.model.of(delivery, content))
        except (Reject, UnreadableContent) as error:
            return self._quarantine(claim, delivery, reason=_text_of(error), handler=handler.name)
        except Retry as error:
            self._release(claim)
            return Outcome.RETRY, _text_of(error)
        except Exception as error:
            # Unknown means retry: whatever a handler did not foresee may pass.
            logger.exception("Handler %s failed; the event is delivered again", handler.name)
            self._release(claim)
            return Outcome.FAILED, _text_of(error)
        return self._complete(claim, Completion.HANDLED, Outcome.HANDLED)

    def _quarantine_unread(self, delivery: Delivery, reason: str) -> tuple[Outcome, str | None]:
        claim = self._claim(self._dateless_request(_READING, delivery))
        if not isinstance(claim, Claim):
            return claim
        return self._quarantine(claim, delivery, reason=reason, handler=None)

    def _request(self, handler: Handler, delivery: Delivery, content: dict[str, Any]) -> ClaimRequest:
        request = self._dateless_request(handler.name, delivery)
        occurred_at = moment_of(content.get("date"))
        if occurred_at is None:
            return request
        sequence = None
        if handler.latest_only and delivery.ordering_key:
            sequence = Sequence(f"latest/{delivery.ordering_key}/{handler.name}", occurred_at.timestamp())
        change = Change.told_by(delivery.event_type, content)
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

    def _claim(self, request: ClaimRequest) -> Claim | tuple[Outcome, str | None]:
        try:
            claim = self._store.claim(request)
        except StoreError as error:
            return Outcome.STORE_UNAVAILABLE, str(error)
        match claim:
            case Busy():
                return Outcome.BUSY, "another delivery of this event, or of this order, is running"
            case Done():
                other = f" as event {claim.event_id}" if claim.event_id != request.event_id else ""
                return Outcome.DUPLICATE, f"already {claim.completion}{other}"
            case Stale():
                latest = datetime.fromtimestamp(claim.latest, UTC)
                return Outcome.STALE, f"an event of {latest:%Y-%m-%d %H:%M:%S} UTC was handled for this order"
        return claim

    def _quarantine(
        self, claim: Claim, delivery: Delivery, *, reason: str, handler: str | None
    ) -> tuple[Outcome, str | None]:
        try:
            self._dead_letters.put(delivery, reason=reason, handler=handler)
        except (PublishError, MessageTooLarge) as error:
            self._release(claim)
            return Outcome.QUARANTINE_FAILED, f"{reason}; and it could not be copied to the dead-letter topic: {error}"
        return self._complete(claim, Completion.REJECTED, Outcome.QUARANTINED, reason)

    def _complete(
        self, claim: Claim, completion: Completion, outcome: Outcome, reason: str | None = None
    ) -> tuple[Outcome, str | None]:
        try:
            complete(
                self._store, claim, completion, retention_seconds=self._limits.retention_seconds, clock=self._clock
            )
        except ClaimLost as error:
            logger.error("The run ended too late: %s", error)  # noqa: TRY400 - the text says it all
            return Outcome.TIMED_OUT, str(error)
        except StoreError as error:
            return Outcome.STORE_UNAVAILABLE, f"the run ended as {completion}, but is not recorded: {error}"
        return outcome, reason

    def _release(self, claim: Claim) -> None:
        try:
            self._store.release(claim)
        except (StoreError, ClaimLost) as error:
            # The claim ends with its lease; until then deliveries of this event are answered busy.
            logger.warning("A claim was not released: %s", error)


def _content_of(delivery: Delivery) -> dict[str, Any]:
    if delivery.damage is not None:
        raise UnreadableContent(delivery.damage)
    return read_content(delivery.body)


def _text_of(error: Exception) -> str:
    return str(error) if isinstance(error, Reject | Retry | UnreadableContent) else f"{type(error).__name__}: {error}"
