"""A job gets its budget and no more, and a thread that was left to itself comes back when its job ends."""

import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from relay.worker.budget import BudgetRunner, JobRaised, OverBudget, TooManyOverdue
from tests.support.waiting import wait_until

where: ContextVar[str] = ContextVar("where")


def test_a_job_runs_in_the_callers_context_and_another_thread() -> None:
    runner = BudgetRunner[tuple[str, int]](max_overdue=8)
    where.set("delivery 1")

    text, thread = runner.run(lambda: (where.get(), threading.get_ident()), budget_seconds=5)

    assert text == "delivery 1"
    assert thread != threading.get_ident()


def test_jobs_one_after_another_share_a_thread() -> None:
    runner = BudgetRunner[int](max_overdue=8)

    threads = {runner.run(threading.get_ident, budget_seconds=5) for _ in range(20)}

    assert len(threads) == 1


def test_a_job_over_its_budget_goes_on_and_frees_its_thread_at_its_end() -> None:
    runner = BudgetRunner[int](max_overdue=8)
    gate, ends = threading.Event(), list[int]()

    def hang() -> int:
        gate.wait()
        ends.append(threading.get_ident())
        return 0

    with pytest.raises(OverBudget):
        runner.run(hang, budget_seconds=0.01)
    meanwhile = runner.run(threading.get_ident, budget_seconds=5)
    gate.set()
    wait_until(lambda: ends, within=5)

    assert meanwhile != ends[0]


@pytest.mark.parametrize("end", [lambda: sys.exit(1), lambda: 1 // 0])
def test_whatever_a_job_raises_ends_the_job_and_not_the_thread(end: object) -> None:
    runner = BudgetRunner[int](max_overdue=8)
    thread = runner.run(threading.get_ident, budget_seconds=5)

    with pytest.raises(JobRaised) as caught:
        runner.run(end, budget_seconds=5)  # type: ignore[arg-type]

    assert isinstance(caught.value.__cause__, SystemExit | ZeroDivisionError)
    assert runner.run(threading.get_ident, budget_seconds=5) == thread


def test_jobs_that_hang_are_bounded_and_free_the_runner_when_they_end() -> None:
    runner = BudgetRunner[bool](max_overdue=3)
    gate = threading.Event()
    threads_before = threading.active_count()

    ends = [end_of(runner, gate.wait) for _ in range(20)]
    threads, was_full = threading.active_count() - threads_before, runner.is_full
    gate.set()
    wait_until(lambda: not runner.is_full, within=5)

    assert ends == [OverBudget] * 3 + [TooManyOverdue] * 17
    assert (threads, was_full) == (3, True)
    assert runner.run(lambda: True, budget_seconds=5)


def test_a_job_that_ends_within_its_budget_is_never_overdue() -> None:
    runner = BudgetRunner[int](max_overdue=1)

    for _ in range(200):
        assert runner.run(lambda: 1, budget_seconds=5) == 1

    assert not runner.is_full


def end_of(runner: BudgetRunner[bool], job: Callable[[], bool]) -> type[Exception] | None:
    try:
        runner.run(job, budget_seconds=0.01)
    except (OverBudget, TooManyOverdue) as error:
        return type(error)
    return None
