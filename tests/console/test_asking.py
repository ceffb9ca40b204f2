"""A question is asked in a thread: no page waits for it, and what was known before stays to be shown."""

import threading
import time
from collections.abc import Callable

from relay.console.asking import Question
from relay.errors import PubSubError
from tests.support.waiting import wait_until


class Gate:
    """Answers 1, 2, 3 ..., each once the test lets it."""

    def __init__(self) -> None:
        self.asked = 0
        self._open = threading.Semaphore(0)

    def ask(self) -> int:
        self.asked += 1
        number = self.asked
        assert self._open.acquire(timeout=30)
        return number

    def let(self) -> None:
        self._open.release()


def test_a_page_does_not_wait_and_a_second_one_does_not_ask_again() -> None:
    gate = Gate()
    question = Question(gate.ask)
    began = time.monotonic()

    first, second = question.ask(), question.ask()

    assert time.monotonic() - began < 1
    assert first.asking_since is not None
    assert (first.value, second.asking_since) == (None, first.asking_since)
    gate.let()
    wait_until(lambda: question.last.value == 1, within=10)
    assert gate.asked == 1


def test_an_answer_is_kept_for_its_time_and_shown_while_the_next_is_awaited() -> None:
    gate = Gate()
    question = Question(gate.ask)
    gate.let()
    question.ask(wait_seconds=10)

    kept = question.answer(max_age_seconds=60)
    older = question.answer(max_age_seconds=0)

    assert (kept.value, kept.asking_since) == (1, None)
    assert (older.value, older.asking_since is not None) == (1, True)
    gate.let()


def test_after_a_change_an_answer_that_was_under_way_does_not_count() -> None:
    gate = Gate()
    question = Question(gate.ask)
    question.ask()
    wait_until(lambda: gate.asked == 1, within=10)

    question.ask(after_change=True)
    gate.let()
    gate.let()

    wait_until(lambda: question.last.at is not None, within=10)
    assert question.last.value == 2


def test_what_is_forgotten_is_shown_no_more_even_if_its_attempt_ends_later() -> None:
    gate = Gate()
    question = Question(gate.ask)
    gate.let()
    question.ask(wait_seconds=10)
    question.ask()
    wait_until(lambda: gate.asked == 2, within=10)

    question.forget()
    forgotten = question.last
    gate.let()
    gate.let()

    assert (forgotten.value, forgotten.at, forgotten.asking_since is not None) == (None, None, True)
    wait_until(lambda: question.last.at is not None, within=10)
    assert question.last.value == 3


def raising(error: Exception) -> Callable[[], int]:
    def ask() -> int:
        raise error

    return ask


def test_what_went_wrong_is_told_in_one_line() -> None:
    known = Question(raising(PubSubError("the subscription does not exist"))).ask(wait_seconds=10)
    unforeseen = Question(raising(KeyError("x"))).ask(wait_seconds=10)

    assert (known.problem, known.value) == ("the subscription does not exist", None)
    assert unforeseen.problem == "unexpected: KeyError: 'x'"
