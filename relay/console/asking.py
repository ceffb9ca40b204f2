"""Questions that take seconds: asked in a thread, so that no page waits for their answer."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from relay.errors import RelayError

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T]):
    """The last answer to a question."""

    value: T | None = None
    """None if there was no answer yet, or none that could be had."""
    problem: str = ""
    """Why the last attempt had no answer."""
    at: datetime | None = None
    """When the last attempt ended."""
    asking_since: datetime | None = None
    """Since when an attempt is under way; None if none is."""


class Question(Generic[T]):
    """A question whose last answer is kept; safe for any number of threads."""

    def __init__(self, ask: Callable[[], T]) -> None:
        """`ask` runs in a thread of its own, once at a time."""
        self._ask = ask
        self._answer: Answer[T] = Answer()
        self._is_outdated = False
        self._changed = threading.Condition()

    def ask(self, *, wait_seconds: float = 0, after_change: bool = False) -> Answer[T]:
        """Ask, unless an attempt is under way; wait for its end for so long at most. Return what is known then.

        `after_change` says that an attempt under way may have begun too early: it is made again.
        """
        with self._changed:
            if self._answer.asking_since is None:
                self._answer = replace(self._answer, asking_since=datetime.now(UTC))
                threading.Thread(target=self._run, daemon=True, name="question").start()
            else:
                self._is_outdated = self._is_outdated or after_change
            self._changed.wait_for(lambda: self._answer.asking_since is None, wait_seconds)
            return self._answer

    def answer(self, *, max_age_seconds: float, wait_seconds: float = 0) -> Answer[T]:
        """Return what is known, and ask if that is older than `max_age_seconds`."""
        with self._changed:
            answer = self._answer
        if answer.at is not None and datetime.now(UTC) - answer.at < timedelta(seconds=max_age_seconds):
            return answer
        return self.ask(wait_seconds=wait_seconds)

    def forget(self) -> None:
        """Drop what is known, since something has changed. An attempt that is under way is made again."""
        with self._changed:
            self._answer = Answer(asking_since=self._answer.asking_since)
            self._is_outdated = self._answer.asking_since is not None

    @property
    def last(self) -> Answer[T]:
        """What is known."""
        with self._changed:
            return self._answer

    def _run(self) -> None:
        while True:
            value, problem = self._attempt()
            with self._changed:
                if not self._is_outdated:
                    self._answer = Answer(value=value, problem=problem, at=datetime.now(UTC))
                    self._changed.notify_all()
                    return
                self._is_outdated = False

    def _attempt(self) -> tuple[T | None, str]:
        try:
            return self._ask(), ""
        except RelayError as error:
            return None, str(error)
        except Exception as error:
            logger.exception("A question of the console failed")
            return None, f"unexpected: {type(error).__name__}: {error}"
