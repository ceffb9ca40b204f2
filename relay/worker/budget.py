"""Runs a job under a time budget, in a thread that is used again and never waited for longer than the budget."""

import queue
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


class OverBudget(Exception):
    """The job still runs; nobody waits for it any more."""


class NoVerdict(Exception):
    """The job ended by an exception, which is the cause."""


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    run: Callable[[], T]
    context: Context
    end: queue.SimpleQueue[T | BaseException] = field(default_factory=queue.SimpleQueue)


class BudgetRunner(Generic[T]):
    """As many threads as jobs run at once; to start one for each job took longer than all else (bench/README.md)."""

    def __init__(self) -> None:
        self._idle: list[queue.SimpleQueue[_Job[T]]] = []  # The inboxes of the threads that wait for a job.

    def run(self, run: Callable[[], T], *, budget_seconds: float) -> T:
        """Return what `run` returns; it runs in the caller's context variables.

        Raises OverBudget if it takes longer than `budget_seconds`, NoVerdict if it raises anything.
        """
        job = _Job(run, copy_context())
        self._inbox().put(job)
        try:
            end = job.end.get(timeout=budget_seconds)
        except queue.Empty:
            raise OverBudget from None
        if isinstance(end, BaseException):
            raise NoVerdict from end
        return end

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
            self._idle.append(inbox)
            job.end.put(end)
            del job, end
