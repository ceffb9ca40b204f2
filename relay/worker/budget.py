"""Runs a job under a time budget, in a thread that is used again and never waited for longer than the budget.

`concurrent.futures` does not fit: it joins its threads when the process ends, so that one hung handler would keep the
worker from ending, and it queues what it cannot run at once instead of refusing it.
"""

import queue
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


class OverBudget(Exception):
    """The job still runs; nobody waits for it any more."""


class TooManyOverdue(Exception):
    """The job was not started: too many earlier ones still run after their budget."""


class JobRaised(Exception):
    """The job raised an exception, which is available as `__cause__`."""


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    run: Callable[[], T]
    context: Context
    end: queue.SimpleQueue[T | BaseException] = field(default_factory=queue.SimpleQueue)
    has_ended: bool = False
    is_overdue: bool = False


class BudgetRunner(Generic[T]):
    """Starts a thread only if none is idle: starting one for each job took longer than all else (bench/README.md).

    The threads are as many as callers wait at once, and at most `max_overdue` and a few more that nobody waits for.
    """

    def __init__(self, *, max_overdue: int) -> None:
        """`max_overdue`: from so many jobs on that run after their budget, no other job is started."""
        self._max_overdue = max_overdue
        self._idle: list[queue.SimpleQueue[_Job[T]]] = []  # The inboxes of the threads that wait for a job.
        self._lock = threading.Lock()
        self._overdue = 0

    @property
    def is_full(self) -> bool:
        """Whether so many jobs run after their budget that no other is started."""
        return self._overdue >= self._max_overdue

    def run(self, run: Callable[[], T], *, budget_seconds: float) -> T:
        """Return what `run` returns; it runs in the caller's context variables.

        Raises OverBudget if it takes longer than `budget_seconds`, JobRaised if it raises anything, and TooManyOverdue
        without starting it while the runner is full.
        """
        if self.is_full:
            raise TooManyOverdue
        job = _Job(run, copy_context())
        self._inbox().put(job)
        try:
            end = job.end.get(timeout=budget_seconds)
        except queue.Empty:
            self._leave(job)
            raise OverBudget from None
        if isinstance(end, BaseException):
            raise JobRaised from end
        return end

    def _leave(self, job: _Job[T]) -> None:
        with self._lock:
            if not job.has_ended:
                job.is_overdue = True
                self._overdue += 1

    def _inbox(self) -> queue.SimpleQueue[_Job[T]]:
        try:
            return self._idle.pop()
        except IndexError:
            inbox: queue.SimpleQueue[_Job[T]] = queue.SimpleQueue()
            # A daemon: a job that never ends must not keep the worker from ending.
            threading.Thread(target=self._work, args=[inbox], name="handler", daemon=True).start()
            return inbox

    def _work(self, inbox: queue.SimpleQueue[_Job[T]]) -> None:
        while True:
            job = inbox.get()
            try:
                end: T | BaseException = job.context.run(job.run)
            except BaseException as error:  # noqa: BLE001 - also a handler's sys.exit() ends its run, not the thread
                end = error
            with self._lock:
                job.has_ended = True
                self._overdue -= job.is_overdue
            self._idle.append(inbox)
            job.end.put(end)
            del job, end
