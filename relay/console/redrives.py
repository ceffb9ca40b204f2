"""The plans and jobs of one console: redrives and discards, bounded in number. In memory: they end with the console."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from relay.console.jobs import Choose, Job, JobState
from relay.console.letters import ListedLetter
from relay.console.plans import Plan
from relay.errors import ActionRefused
from relay.pubsub import publisher
from relay.pubsub.dead_letters import DeadLetter, HeldDeadLetters
from relay.pubsub.publisher import Publisher
from relay.settings.commands import ToolSettings

MAX_PLANS = 50
MAX_LETTERS_KEPT = 200_000  # Of all plans together; a letter takes about 1 KB.
MAX_JOBS_AT_ONCE = 4


class PubSubDeadLetters:
    """Implements `DeadLetterPort` for the installation that the settings of the commands name."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raise ConfigurationError if a setting is missing."""
        self._settings = ToolSettings.from_environ(environ)

    def __str__(self) -> str:
        return self._settings.dead_letter_subscription_path

    @contextmanager
    def held(self, choose: Choose) -> Iterator[HeldDeadLetters]:
        """See `DeadLetterPort.held`."""
        with HeldDeadLetters.chosen(self._settings.dead_letter_subscription_path, choose) as held:
            yield held

    @contextmanager
    def publisher(self) -> Iterator[Publisher]:
        """See `DeadLetterPort.publisher`."""
        with closing(publisher.connected(self._settings.topic_path, self._settings)) as topic:
            yield topic

    def all(self) -> list[DeadLetter]:
        """Return all dead letters that nobody holds, and let everybody see them again. Raises PubSubError."""
        found: dict[str, DeadLetter] = {}

        def choose(letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
            found.update((letter.message_id, letter) for letter in letters)
            return ()

        with self.held(choose):
            return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Which dead letters of one event and handler are gone, of those that the log tells of, and who removed them."""

    generation: int
    until: datetime
    words: str
    """What was done with them."""
    by: str
    plan_id: str

    def has(self, letter: ListedLetter) -> bool:
        """Return whether `letter` is one of them, and not a later one."""
        return letter.generation <= self.generation and letter.dead_at <= self.until


class Redrives:
    """The plans, and the job of each plan that was started."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._jobs: dict[str, Job] = {}
        self._gone: dict[str, Gone] = {}
        self._gone_messages: dict[str, None] = {}
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self.counted: tuple[ListedLetter, ...] = ()
        """What the subscription held when the reader counted it last."""
        self.counted_at: datetime | None = None

    @property
    def counted_words(self) -> str:
        """How many the subscription held, for the reader: an event that was sent twice has two messages."""
        events = len({letter.event_id for letter in self.counted})
        messages = f"{len(self.counted)} message{'' if len(self.counted) == 1 else 's'}"
        return f"{messages} of {events} event{'' if events == 1 else 's'}"

    def add(self, plan: Plan) -> None:
        """Keep a plan; forget the oldest ones beyond the bounds that are not under way."""
        with self._lock:
            self._plans[plan.id] = plan
            idle = [id_ for id_ in self._plans if id_ != plan.id and not self._is_under_way(id_)]
            while idle and not self._is_within_bounds():
                self._forget(idle.pop(0))

    def plan(self, id_: str) -> Plan | None:
        """Return the plan; None if there is none, or it is forgotten."""
        return self._plans.get(id_)

    def job(self, id_: str) -> Job | None:
        """Return the job of a plan; None if nobody has started it."""
        return self._jobs.get(id_)

    def jobs(self) -> list[Job]:
        """Return all jobs, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def start(self, plan: Plan, make: Callable[[], Job]) -> Job:
        """Start the job of a plan; a plan is started once, whoever asks again gets the same job.

        `make` may raise. Raises ActionRefused if too many jobs are under way.
        """
        with self._starting:
            known = self.job(plan.id)
            if known is not None:
                return known
            under_way = sum(job.state is not JobState.ENDED for job in self.jobs())
            if under_way >= MAX_JOBS_AT_ONCE:
                text = f"{under_way} redrives and discards are under way: stop one, or wait for its end"
                raise ActionRefused(text, status=HTTPStatus.CONFLICT)
            job = make()
            with self._lock:
                self._plans.setdefault(plan.id, plan)
                self._jobs[plan.id] = job
            job.start()
            return job

    def note_gone(self, job: Job) -> None:
        """Remember which dead letters a job has removed, since the log does not know it yet."""
        ends, letters = job.ends, {letter.key: letter for letter in job.plan.letters}
        with self._lock:
            for removed in job.removed:
                self._gone_messages[removed.message_id] = None
                ending, letter = ends[removed.key].ending, letters[removed.key]
                if ending.is_gone:
                    self._gone[_name_of(letter)] = Gone(
                        generation=letter.generation,
                        until=removed.pulled_at,
                        words=ending.words,
                        by=job.action.account.name,
                        plan_id=job.plan.id,
                    )
            # The log tells of one dead letter where the subscription may hold several of the same event and handler.
            for letter in (*letters.values(), *self.counted):
                if letter.message_id and letter.message_id not in self._gone_messages:
                    self._gone.pop(_name_of(letter), None)
            _forget_the_first(self._gone)
            _forget_the_first(self._gone_messages)

    def is_gone(self, letter: ListedLetter) -> bool:
        """Return whether this console has removed the dead letter."""
        if letter.message_id:
            return letter.message_id in self._gone_messages
        return self.gone(letter) is not None

    def gone(self, letter: ListedLetter) -> Gone | None:
        """Return what this console did with a dead letter that the log tells of; None if it did not remove it."""
        gone = self._gone.get(_name_of(letter))
        return gone if gone is not None and gone.has(letter) else None

    def stop_all(self) -> None:
        """Stop all jobs; what is under way ends."""
        for job in self.jobs():
            if job.state is not JobState.ENDED:
                job.stop()

    def join(self, *, within_seconds: float) -> None:
        """Wait for the jobs' ends."""
        for job in self.jobs():
            job.join(within_seconds=within_seconds)

    def _is_under_way(self, id_: str) -> bool:
        job = self._jobs.get(id_)
        return job is not None and job.state is not JobState.ENDED

    def _is_within_bounds(self) -> bool:
        letters = sum(len(plan.letters) for plan in self._plans.values())
        return len(self._plans) <= MAX_PLANS and letters <= MAX_LETTERS_KEPT

    def _forget(self, id_: str) -> None:
        self._plans.pop(id_)
        self._jobs.pop(id_, None)


def _name_of(letter: ListedLetter) -> str:
    return f"{letter.event_id}/{letter.rejected_by}"


def _forget_the_first(kept: dict[str, Any]) -> None:
    for name in list(kept)[: max(0, len(kept) - MAX_LETTERS_KEPT)]:
        del kept[name]
