"""A plan: the frozen list of dead letters that a redrive or a discard is about. No I/O."""

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from relay.console.letters import ListedLetter
from relay.errors import PlanRefused
from relay.pubsub.dead_letters import DeadLetter
from relay.pubsub.redrive import RedriveEnding, RedriveRules

MAX_LETTERS = 50_000


class Verb(StrEnum):
    """What a plan does with its dead letters."""

    REDRIVE = "redrive"
    DISCARD = "discard"

    @property
    def done(self) -> str:
        """For the reader: what it has done with a dead letter that is gone."""
        return "redriven" if self is Verb.REDRIVE else "discarded"


class LetterEnding(StrEnum):
    """What became of one dead letter of a plan: an ending of a redrive, or one of these two."""

    REDRIVEN = RedriveEnding.REDRIVEN
    MAY_COME_BACK = RedriveEnding.MAY_COME_BACK
    TOO_OFTEN = RedriveEnding.TOO_OFTEN
    FORGOTTEN = RedriveEnding.FORGOTTEN
    FAILED = RedriveEnding.FAILED
    BEHIND_A_FAILED_ONE = RedriveEnding.BEHIND_A_FAILED_ONE
    NOT_HELD = RedriveEnding.NOT_HELD
    STOPPED = RedriveEnding.STOPPED
    NOT_THERE = "not_there"
    """The subscription did not give it to us."""
    DISCARDED = "discarded"

    @property
    def is_gone(self) -> bool:
        """Whether the plan has removed the dead letter for good."""
        return self in (LetterEnding.REDRIVEN, LetterEnding.DISCARDED)

    @property
    def is_left(self) -> bool:
        """Whether the plan has left the dead letter where it was, so that another plan can take it."""
        return not self.is_gone and self not in (LetterEnding.MAY_COME_BACK, LetterEnding.NOT_THERE)

    @property
    def words(self) -> str:
        """For the reader."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterEnd:
    """How one dead letter ended, and why it stayed or may come back."""

    ending: LetterEnding
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A frozen list: nothing that arrives later is ever in it."""

    verb: Verb
    letters: tuple[ListedLetter, ...]
    """The oldest events first; each has its own key."""
    made_at: datetime
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    @classmethod
    def of(cls, verb: Verb, letters: Iterable[ListedLetter], *, now: datetime) -> "Plan":
        """Return the plan for these letters. Raises PlanRefused if there are none, or too many."""
        of_key = {letter.key: letter for letter in letters}
        if not of_key:
            raise PlanRefused("Nothing is chosen: tick dead letters or a group")
        if len(of_key) > MAX_LETTERS:
            raise PlanRefused(f"{len(of_key):,} dead letters are chosen; one plan takes {MAX_LETTERS:,}: choose fewer")
        in_sequence = sorted(of_key.values(), key=lambda letter: (letter.received_at, letter.key))
        return cls(verb=verb, letters=tuple(in_sequence), made_at=now)

    @property
    def event_ids(self) -> list[str]:
        """Each event of the plan once."""
        return list(dict.fromkeys(letter.event_id for letter in self.letters))

    @property
    def order_ids(self) -> dict[str, str]:
        """To which order each event belongs."""
        return {letter.event_id: letter.order_id for letter in self.letters}

    def staying(self, rules: RedriveRules) -> dict[str, str]:
        """Return why dead letters will stay where they are, by their keys, as far as the list tells."""
        if self.verb is Verb.DISCARD:
            return {}
        reasons = {letter.key: _reason_to_stay(letter, rules, self.made_at) for letter in self.letters}
        return {key: reason for key, reason in reasons.items() if reason}

    def match(self, found: Iterable[DeadLetter], *, keys: frozenset[str] | set[str]) -> dict[str, list[DeadLetter]]:
        """Return which of `found` are in the plan, by key. One event's dead letter may be on the subscription twice."""
        matched: dict[str, dict[str, DeadLetter]] = {}
        for letter in found:
            for listed in self._named(letter):
                if listed.key in keys and listed.is_told_by(letter):
                    matched.setdefault(listed.key, {})[letter.message_id] = letter
        return {key: list(letters.values()) for key, letters in matched.items()}

    def later_ones(self, found: Iterable[DeadLetter]) -> set[str]:
        """Return the keys of letters of which `found` has a later one: its event failed again after the plan."""
        return {
            listed.key
            for letter in found
            for listed in self._named(letter)
            if letter.delivery.generation > listed.generation
        }

    def commands(self, *, rate: float, rules: RedriveRules) -> Iterable[tuple[str, ...]]:
        """Return the command lines that do the same: one for each handler."""
        ids_of: dict[str, list[str]] = {}
        for letter in self.letters:
            handler = "" if letter.message_id else letter.rejected_by
            ids_of.setdefault(handler, []).append(letter.message_id or letter.event_id)
        more: tuple[str, ...] = ()
        if self.verb is Verb.REDRIVE:
            forgotten_too = ("--forgotten-too",) if rules.forgotten_too else ()
            more = ("--rate", f"{rate:g}", "--max-redrives", str(rules.max_redrives), *forgotten_too)
        for handler, ids in ids_of.items():
            option = ("--handler", handler) if handler else ()
            yield ("relay", "dead-letters", self.verb, *ids, *option, *more, "--yes", "--json")

    @cached_property
    def _of_name(self) -> Mapping[tuple[str, str], list[ListedLetter]]:
        of_name: dict[tuple[str, str], list[ListedLetter]] = {}
        for letter in self.letters:
            of_name.setdefault((letter.event_id, letter.rejected_by), []).append(letter)
        return of_name

    def _named(self, letter: DeadLetter) -> Sequence[ListedLetter]:
        return self._of_name.get((letter.delivery.event_id, letter.rejected_by), ())


def counted(ends: Iterable[LetterEnd]) -> list[tuple[LetterEnding, str, int]]:
    """Return each ending with its reason, and how many there are, the most first."""
    counts = Counter((end.ending, end.reason) for end in ends)
    return [(ending, reason, count) for (ending, reason), count in counts.most_common()]


def _reason_to_stay(letter: ListedLetter, rules: RedriveRules, now: datetime) -> str:
    age_seconds = (now - letter.received_at).total_seconds()
    stay = rules.reason_for(redrives=letter.redrives, handler=letter.rejected_by, event_age_seconds=age_seconds)
    return stay[1] if stay else ""
