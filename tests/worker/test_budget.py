"""A job gets its budget and no more, and a thread that was left to itself comes back when its job ends."""

import sys
import threading
from contextvars import ContextVar

import pytest

from relay.worker.budget import BudgetRunner, NoVerdict, OverBudget
from tests.support.waiting import wait_until

where: ContextVar[str] = ContextVar("where")


def test_a_job_runs_in_the_callers_context_and_another_thread() -> None:
    runner = BudgetRunner[tuple[str, int]]()
    where.set("delivery 1")

    text, thread = runner.run(lambda: (where.get(), threading.get_ident()), budget_seconds=5)

    assert text == "delivery 1"
    assert thread != threading.get_ident()


def test_jobs_one_after_another_share_a_thread() -> None:
    runner = BudgetRunner[int]()

    threads = {runner.run(threading.get_ident, budget_seconds=5) for _ in range(20)}

    assert len(threads) == 1


def test_a_job_over_its_budget_goes_on_and_frees_its_thread_at_its_end() -> None:
    runner = BudgetRunner[int]()
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
    runner = BudgetRunner[int]()
    thread = runner.run(threading.get_ident, budget_seconds=5)

    with pytest.raises(NoVerdict) as caught:
        runner.run(end, budget_seconds=5)  # type: ignore[arg-type]

    assert isinstance(caught.value.__cause__, SystemExit | ZeroDivisionError)
    assert runner.run(threading.get_ident, budget_seconds=5) == thread
