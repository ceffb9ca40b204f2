"""A job: one plan under way, in a thread, with the functions of `relay dead-letters`. It ends each letter once."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from relay.console.actions import Action
from relay.console.letters import ListedLetter
from relay.console.plans import LetterEnd, LetterEnding, Plan, Verb
from relay.errors import RelayError
from relay.pubsub.dead_letters import DeadLetter, HeldDeadLetters
from relay.pubsub.publisher import Publisher
from relay.pubsub.redrive import Redrive, RedriveRules

DISCARDED_AT_ONCE = 500
NOT_THERE = "not there any more: somebody else redrove it, discarded it, or holds it now"
FAILED_LATER = "not there any more: its event failed again after this plan was made; make a new plan for that one"

Choose = Callable[[Sequence[DeadLetter]], Sequence[DeadLetter]]

logger = logging.getLogger(__name__)


class JobState(StrEnum):
    """Where a job is."""

    PULLING = "pulls the dead letters; Pub/Sub takes about five seconds to say that these are all"
    RUNNING = "is under way"
    WAITING = "waits for you: the first one is sent"
    ENDED = "has ended"


class DeadLetterPort(Protocol):
    """What a job needs of Pub/Sub."""

    def held(self, choose: Choose) -> AbstractContextManager[HeldDeadLetters]:
        """Hold what `choose` takes while the block runs. Raises PubSubError."""
        ...

    def publisher(self) -> AbstractContextManager[Publisher]:
        """Give what publishes to the topic of the events, until the block ends. Raises ConfigurationError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How a plan is carried out."""

    rules: RedriveRules
    per_second: float
    """How many events a second are redriven at most; 0 for no limit."""
    canary: bool
    """Whether to send one first, and to wait for the reader before the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """One message that a job has removed from the dead-letter subscription."""

    key: str
    """Of the plan's letter."""
    message_id: str
    pulled_at: datetime
    """What became a dead letter later is another message."""


class Job:
    """One plan under way. Safe for any number of threads."""

    def __init__(
        self,
        plan: Plan,
        options: JobOptions,
        action: Action,
        pubsub: DeadLetterPort,
        *,
        on_end: Callable[["Job"], None] = lambda _: None,
    ) -> None:
        self.plan = plan
        self.options = options
        self.action = action
        self.state = JobState.PULLING
        self.canary = ""
        """The key of the letter that was sent first."""
        self.problem = ""
        """What broke the job off; empty if nothing did."""
        self.began_at = datetime.now(UTC)
        self.ended_at: datetime | None = None
        self._pubsub = pubsub
        self._on_end = on_end
        self._ends: dict[str, LetterEnd] = {}
        self._removed: list[Removed] = []
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._redrive: Redrive | None = None
        self._thread: threading.Thread | None = None

    @property
    def ends(self) -> Mapping[str, LetterEnd]:
        """The ends so far, by the letters' keys; when the job has ended, each letter has one."""
        with self._lock:
            return dict(self._ends)

    @property
    def removed(self) -> Sequence[Removed]:
        """The messages that it has removed so far: of one letter, Pub/Sub may have held several."""
        with self._lock:
            return tuple(self._removed)

    @property
    def is_stopping(self) -> bool:
        """Whether somebody has stopped it."""
        return self._stopping.is_set()

    @property
    def gone(self) -> int:
        """How many letters it has redriven, or discarded, for good."""
        return sum(end.ending.is_gone for end in self.ends.values())

    @property
    def left(self) -> Sequence[ListedLetter]:
        """The letters that are still dead letters by what it did; all are told once it has ended."""
        ends = self.ends
        return [letter for letter in self.plan.letters if letter.key in ends and ends[letter.key].ending.is_left]

    @property
    def progress(self) -> str:
        """Where it is, and how far, for the reader."""
        verb, gone, count = self.plan.verb, self.gone, len(self.plan.letters)
        if self.state is not JobState.ENDED:
            under_way = "is being stopped" if self.is_stopping else self.state
            return f"{under_way}: {gone} of {count} {verb.done}"
        left, endings = len(self.left), Counter(end.ending for end in self.ends.values())
        where = "broke off" if self.problem else "was stopped" if self.is_stopping and left else self.state
        parts = [f"{gone} {verb.done}"]
        if left:
            are = "it is still a dead letter" if left == 1 else "they are still dead letters"
            parts.append(f"{left} not {'sent' if verb is Verb.REDRIVE else verb.done} ({are})")
        others = (LetterEnding.NOT_THERE, LetterEnding.MAY_COME_BACK)
        parts += [f"{endings[ending]} {ending.words}" for ending in others if endings[ending]]
        return f"{where}: {', '.join(parts)}"

    def start(self) -> None:
        """Begin."""
        has_canary = self.options.canary and self.plan.verb is Verb.REDRIVE and len(self.plan.letters) > 1
        self._begin(self._send_the_first if has_canary else self._do_the_rest)

    def go_on(self) -> None:
        """Do the rest after the first one was sent; without effect if the job does not wait for that."""
        with self._lock:
            if self.state is JobState.WAITING:
                self.state = JobState.PULLING
                self._begin(self._do_the_rest)

    def stop(self) -> None:
        """Begin nothing more. What is under way ends."""
        with self._lock:
            self._stopping.set()
            if self._redrive is not None:
                self._redrive.stop()
            is_over = self.state is JobState.WAITING
            if is_over:
                self._end()
        if is_over:
            self._on_end(self)

    def join(self, *, within_seconds: float) -> None:
        """Wait for the thread's end."""
        thread = self._thread
        if thread is not None:
            thread.join(within_seconds)

    def _begin(self, work: Callable[[], JobState]) -> None:
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True, name=f"job-{self.plan.id}")
        self._thread.start()

    def _run(self, work: Callable[[], JobState]) -> None:
        """Do a part of the work, and end the job unless more is to come."""
        after = JobState.ENDED
        try:
            after = work()
        except RelayError as error:
            self.problem = str(error)
        except Exception as error:
            self.problem = f"unexpected: {type(error).__name__}: {error}"
            logger.exception("The %s of plan %s broke off", self.plan.verb, self.plan.id)
        with self._lock:
            if after is JobState.WAITING and not self.is_stopping:
                self.state = after
                return
            self._end()
        self._on_end(self)

    def _end(self) -> None:
        """Give each letter that has no end yet the end that nothing was done with it."""
        reason = f"the {self.plan.verb} broke off: {self.problem}" if self.problem else "it was stopped before this one"
        for key in self._open_keys():
            self._note(key, LetterEnd(ending=LetterEnding.STOPPED, reason=reason))
        self.state, self.ended_at = JobState.ENDED, datetime.now(UTC)

    def _open_keys(self) -> set[str]:
        with self._lock:
            return {letter.key for letter in self.plan.letters} - self._ends.keys()

    def _note(self, key: str, end: LetterEnd) -> None:
        """Note an end. Of a dead letter that Pub/Sub holds twice, the end counts that is not its removal."""
        with self._lock:
            before = self._ends.get(key)
            if before is None or before.ending.is_gone:
                self._ends[key] = end

    def _note_of(self, letter: DeadLetter, key: str, end: LetterEnd, *, pulled_at: datetime) -> None:
        """Note the end of one message."""
        self._note(key, end)
        if end.ending.is_gone:
            with self._lock:
                self._removed.append(Removed(key=key, message_id=letter.message_id, pulled_at=pulled_at))

    # --- The work -----------------------------------------------------------------------------------------------------

    def _send_the_first(self) -> JobState:
        """Redrive one dead letter; all others can be pulled by anybody meanwhile."""

        def choose(found: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
            matched = self.plan.match(found, keys=self._open_keys() - self.plan.staying(self.options.rules).keys())
            self.canary = next((letter.key for letter in self.plan.letters if letter.key in matched), "")
            return matched.get(self.canary, ())

        with self._pubsub.held(choose) as held:
            if self.canary:
                self._redrive_all(held, dict.fromkeys((letter.message_id for letter in held.letters), self.canary))
        if not self.canary:
            return self._do_the_rest()
        return JobState.WAITING if self._open_keys() else JobState.ENDED

    def _do_the_rest(self) -> JobState:
        key_of: dict[str, str] = {}
        with self._pubsub.held(lambda found: self._choose_the_rest(found, key_of)) as held:
            if self.plan.verb is Verb.DISCARD:
                self._discard_all(held, key_of)
            else:
                self._redrive_all(held, key_of)
        return JobState.ENDED

    def _choose_the_rest(self, found: Sequence[DeadLetter], key_of: dict[str, str]) -> Sequence[DeadLetter]:
        """Return what the plan still means, the oldest events first; end what is not there."""
        wanted = self._open_keys()
        matched = self.plan.match(found, keys=wanted)
        later = self.plan.later_ones(found)
        for key in wanted - matched.keys():
            self._note(
                key, LetterEnd(ending=LetterEnding.NOT_THERE, reason=FAILED_LATER if key in later else NOT_THERE)
            )
        key_of |= {letter.message_id: key for key, letters in matched.items() for letter in letters}
        letters = [letter for some in matched.values() for letter in some]
        return sorted(letters, key=lambda letter: (letter.delivery.received_at, letter.message_id))

    def _redrive_all(self, held: HeldDeadLetters, key_of: Mapping[str, str]) -> None:
        pulled_at = datetime.now(UTC)
        with self._pubsub.publisher() as publisher:
            redrive = Redrive(
                held.subscription,
                publisher,
                rules=self.options.rules,
                per_second=self.options.per_second,
                now=lambda: datetime.now(UTC),
            )
            with self._lock:
                self._redrive, self.state = redrive, JobState.RUNNING
                if self.is_stopping:
                    redrive.stop()
            for end in redrive.run(held.letters):
                noted = LetterEnd(ending=LetterEnding(end.ending), reason=end.reason or "")
                self._note_of(end.letter, key_of[end.letter.message_id], noted, pulled_at=pulled_at)

    def _discard_all(self, held: HeldDeadLetters, key_of: Mapping[str, str]) -> None:
        pulled_at, self.state = datetime.now(UTC), JobState.RUNNING
        for start in range(0, len(held.letters), DISCARDED_AT_ONCE):
            if self.is_stopping:
                return
            some = HeldDeadLetters(held.subscription, held.letters[start : start + DISCARDED_AT_ONCE])
            for end in some.discard():
                ending = LetterEnding.MAY_COME_BACK if end.may_come_back else LetterEnding.DISCARDED
                noted = LetterEnd(ending=ending, reason=end.may_come_back or "")
                self._note_of(end.letter, key_of[end.letter.message_id], noted, pulled_at=pulled_at)
