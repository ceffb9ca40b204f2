"""Redrive: dead letters go back to the topic, several orders side by side, the events of one order in sequence."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from queue import SimpleQueue
from typing import Protocol

from relay.errors import PublishError
from relay.pubsub.dead_letters import DeadLetter
from relay.pubsub.pace import Pace
from relay.pubsub.publisher import Publisher
from relay.pubsub.pull import HOLD_ENDED, Pulled
from relay.topology import LAST_RETURN_SECONDS

ORDERS_AT_ONCE = 16
PUBLISH_BUDGET_SECONDS = 30
_A_DAY_SECONDS = 86_400


class RedriveEnding(StrEnum):
    """What became of one dead letter in a redrive."""

    REDRIVEN = "redriven"
    MAY_COME_BACK = "may_come_back"
    """Redriven, but Pub/Sub may deliver the dead letter again."""
    TOO_OFTEN = "too_often"
    FORGOTTEN = "forgotten"
    """The store may have forgotten which handlers had succeeded."""
    FAILED = "failed"
    BEHIND_A_FAILED_ONE = "behind_a_failed_one"
    """An earlier event of the same order had to stay."""
    NOT_HELD = "not_held"
    STOPPED = "stopped"
    """The redrive was stopped before it came to this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """One dead letter of a redrive; the reason says why the dead letter stayed, or may come back."""

    letter: DeadLetter
    ending: RedriveEnding
    reason: str | None = None

    @property
    def is_published(self) -> bool:
        """Whether Pub/Sub has confirmed the event."""
        return self.ending in (RedriveEnding.REDRIVEN, RedriveEnding.MAY_COME_BACK)

    @property
    def is_gone(self) -> bool:
        """Whether the dead letter is gone for good."""
        return self.ending is RedriveEnding.REDRIVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveRules:
    """Which dead letters stay where they are, whoever asks for them."""

    max_redrives: int
    """An event that came back this often stays: it would only come back once more."""
    forgotten_too: bool = False
    """Whether events are redriven, too, that are older than the memory of completed runs."""

    def reason_to_stay(self, letter: DeadLetter, now: datetime) -> tuple[RedriveEnding, str] | None:
        """Return why `letter` must stay where it is, or None."""
        marks = letter.marks
        return self.reason_for(
            redrives=marks.redrives, handler=marks.handler, event_age_seconds=letter.event_age_seconds(now)
        )

    def reason_for(self, *, redrives: int, handler: str, event_age_seconds: float) -> tuple[RedriveEnding, str] | None:
        """Return why a dead letter of which this is known must stay where it is, or None.

        `handler` is the one that a redrive would run alone; empty for all.
        """
        if redrives >= self.max_redrives:
            times = "once" if redrives == 1 else f"{redrives} times"
            reason = f"was redriven {times} already; mend the cause, or allow more redrives (--max-redrives)"
            return RedriveEnding.TOO_OFTEN, reason
        if event_age_seconds > LAST_RETURN_SECONDS and not self.forgotten_too:
            return RedriveEnding.FORGOTTEN, _forgotten(handler, event_age_seconds)
        return None


class HeldMessages(Protocol):
    """What a redrive needs of the dead letters' subscription; `PullSubscription` has it."""

    def holds(self, message: Pulled) -> bool:
        """Return whether nobody else can have got `message` since it was pulled."""
        ...

    def acknowledge(self, messages: Sequence[Pulled]) -> dict[str, str]:
        """Remove messages for good; return why a message may come back all the same, by its message id."""
        ...


class Redrive:
    """Publishes events again, and acknowledges each dead letter once Pub/Sub has confirmed its event."""

    def __init__(
        self,
        subscription: HeldMessages,
        publisher: Publisher,
        *,
        rules: RedriveRules,
        per_second: float,
        now: Callable[[], datetime],
    ) -> None:
        """`subscription` holds the dead letters; `per_second` 0 publishes without a limit."""
        self._subscription = subscription
        self._publisher = publisher
        self._rules = rules
        self._now = now
        self._stopping = threading.Event()
        self._pace = Pace(per_second, sleep=self._stopping.wait)

    def stop(self) -> None:
        """Begin no further publish. What is under way ends; the rest of the dead letters stays."""
        self._stopping.set()

    def run(self, letters: Sequence[DeadLetter]) -> Iterator[Redriven]:
        """Yield what became of each dead letter, as it becomes known. `letters` are sorted, the oldest event first."""
        orders = _by_order(letters)
        ended: SimpleQueue[Redriven | None] = SimpleQueue()
        with ThreadPoolExecutor(ORDERS_AT_ONCE) as pool:
            runs = [pool.submit(self._redrive_order, order, ended) for order in orders]
            left = len(orders)
            try:
                while left:
                    some = _all_in(ended)
                    left -= some.count(None)
                    yield from self._acknowledge([end for end in some if end is not None])
            finally:
                self.stop()
        for run in runs:
            run.result()

    def _redrive_order(self, letters: Sequence[DeadLetter], ended: "SimpleQueue[Redriven | None]") -> None:
        """Redrive one order's dead letters, one after another; None says that the order is done."""
        failed: DeadLetter | None = None
        try:
            for letter in letters:
                if failed is not None:
                    reason = f"waits for {failed.message_id}, an earlier event of order {failed.delivery.ordering_key}"
                    end = Redriven(letter=letter, ending=RedriveEnding.BEHIND_A_FAILED_ONE, reason=reason)
                else:
                    end = self._redrive(letter)
                if end.ending in (RedriveEnding.FAILED, RedriveEnding.NOT_HELD):
                    failed = letter
                ended.put(end)
        finally:
            ended.put(None)

    def _redrive(self, letter: DeadLetter) -> Redriven:
        stay = self._rules.reason_to_stay(letter, self._now())
        if stay is not None:
            return Redriven(letter=letter, ending=stay[0], reason=stay[1])
        self._pace.wait()
        if self._stopping.is_set():
            return Redriven(letter=letter, ending=RedriveEnding.STOPPED, reason="the redrive was stopped before it")
        if not self._subscription.holds(letter.pulled):
            return Redriven(letter=letter, ending=RedriveEnding.NOT_HELD, reason=f"{HOLD_ENDED}; run the command again")
        try:
            self._publisher.publish(letter.redriven(self._now()), budget_seconds=PUBLISH_BUDGET_SECONDS)
        except PublishError as error:
            return Redriven(letter=letter, ending=RedriveEnding.FAILED, reason=str(error))
        return Redriven(letter=letter, ending=RedriveEnding.REDRIVEN)

    def _acknowledge(self, ends: Sequence[Redriven]) -> Iterator[Redriven]:
        """Acknowledge in one request the dead letters whose events are published."""
        published = [end.letter.pulled for end in ends if end.is_published]
        may_come_back = self._subscription.acknowledge(published)
        for end in ends:
            reason = may_come_back.get(end.letter.message_id)
            yield replace(end, ending=RedriveEnding.MAY_COME_BACK, reason=reason) if reason else end


def _all_in(ended: "SimpleQueue[Redriven | None]") -> list[Redriven | None]:
    """Wait for the next end, and return it with all others that are there."""
    ends = [ended.get()]
    while not ended.empty():
        ends.append(ended.get())
    return ends


def _by_order(letters: Sequence[DeadLetter]) -> list[list[DeadLetter]]:
    """Return the dead letters order by order; events of no order have nothing to wait for."""
    orders: dict[tuple[str, str], list[DeadLetter]] = {}
    for letter in letters:
        order_id = letter.delivery.ordering_key
        key = (order_id, "") if order_id else ("", letter.message_id)
        orders.setdefault(key, []).append(letter)
    return list(orders.values())


def _forgotten(handler: str, event_age_seconds: float) -> str:
    days = event_age_seconds / _A_DAY_SECONDS
    last_days = LAST_RETURN_SECONDS // _A_DAY_SECONDS
    what = f"only {handler} would run" if handler else "handlers that have succeeded may run again"
    return (
        f"its event was received {days:.0f} days ago; after {last_days} days the worker may have forgotten, before it "
        f"handles a redriven event, which handlers have succeeded. To redrive it all the same ({what}), add "
        "--forgotten-too"
    )
