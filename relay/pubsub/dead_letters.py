"""Dead letters: what nobody could handle, put there by the worker (quarantine) or by Pub/Sub (too many attempts)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from google.pubsub_v1 import SubscriberClient

from relay.errors import DeadLetterIdRefused
from relay.events import Delivery, is_handler
from relay.message import Attribute, DeadLetterMarks, Message
from relay.pubsub.calls import pubsub_errors
from relay.pubsub.pull import Pulled, PullSubscription

LEAST_PREFIX_LENGTH = 6
MAX_CANDIDATES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message on the dead-letter subscription."""

    pulled: Pulled

    @property
    def delivery(self) -> Delivery:
        """The event in it."""
        return self.pulled.delivery

    @property
    def message_id(self) -> str:
        """What names this dead letter: one event may have several, one for each handler that rejected it."""
        return self.delivery.message_id

    @property
    def marks(self) -> DeadLetterMarks:
        """Why nobody handled it, and how often that was tried."""
        return self.pulled.message.dead_letter_marks

    @property
    def rejected_by(self) -> str:
        """The handler that rejected the event; empty where Pub/Sub gave it up, or no handler could read it."""
        return self.pulled.message.attributes.get(Attribute.DEAD_LETTER_HANDLER, "")

    @property
    def is_given_up(self) -> bool:
        """Whether Pub/Sub put it there, which knows no reason: the worker names one."""
        return Attribute.DEAD_LETTER_REASON not in self.pulled.message.attributes

    def age_seconds(self, now: datetime) -> float:
        """Return how long it has been a dead letter."""
        return (now - self.pulled.published_at).total_seconds()

    def event_age_seconds(self, now: datetime) -> float:
        """Return how long ago the receiver took its event in."""
        return (now - self.delivery.received_at).total_seconds()

    def redriven(self, now: datetime) -> Message:
        """Return the message that brings the event back to the topic."""
        return self.pulled.message.redriven(self.delivery, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters are meant: those that fit everything that is set."""

    ids: Sequence[str] = ()
    """Message ids or event ids, whole or by their beginning."""
    event_type: str | None = None
    order_id: str | None = None
    reason: str | None = None
    """A part of the reason, in any case."""
    handler: str | None = None
    older_than_seconds: float | None = None
    newer_than_seconds: float | None = None

    def fits(self, letter: DeadLetter, now: datetime) -> bool:
        """Return whether `letter` is meant, whatever its ids."""
        age_seconds = letter.age_seconds(now)
        return (
            self.event_type in (None, letter.delivery.event_type)
            and self.order_id in (None, letter.delivery.ordering_key)
            and (self.handler is None or is_handler(letter.marks.handler, self.handler))
            and (self.reason is None or self.reason.lower() in letter.marks.reason.lower())
            and (self.older_than_seconds is None or age_seconds > self.older_than_seconds)
            and (self.newer_than_seconds is None or age_seconds < self.newer_than_seconds)
        )


def select(letters: Iterable[DeadLetter], wanted: Filter, *, now: datetime, limit: int) -> list[DeadLetter]:
    """Return each dead letter that is meant once, the oldest events first, `limit` at most (0: all).

    Raises DeadLetterIdRefused if one of the ids names none of `letters`, or more than one.
    """
    by_id = {letter.message_id: letter for letter in letters}
    named = {message_id for id_ in wanted.ids for message_id in _named_by(id_, list(by_id.values()))}
    chosen = [
        letter
        for letter in by_id.values()
        if (not wanted.ids or letter.message_id in named) and wanted.fits(letter, now)
    ]
    chosen.sort(key=lambda letter: (letter.delivery.received_at, letter.message_id))
    return chosen[:limit] if limit else chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """What became of one dead letter that was discarded."""

    letter: DeadLetter
    may_come_back: str | None
    """Why the dead letter may come back all the same; None if it is gone."""


class HeldDeadLetters:
    """The dead letters that a command works on: a list that stays as it is, and that nobody else gets meanwhile."""

    def __init__(self, subscription: PullSubscription, letters: Sequence[DeadLetter]) -> None:
        self.subscription = subscription
        self.letters = letters

    @classmethod
    @contextmanager
    def held(cls, subscription_path: str, wanted: Filter, *, now: datetime, limit: int) -> Iterator[Self]:
        """Hold the dead letters that are meant until the block ends, and let everybody see the others.

        Raises PubSubError and DeadLetterIdRefused.
        """
        with cls.chosen(subscription_path, lambda found: select(found, wanted, now=now, limit=limit)) as held:
            yield held

    @classmethod
    @contextmanager
    def chosen(
        cls, subscription_path: str, choose: Callable[[Sequence[DeadLetter]], Sequence[DeadLetter]]
    ) -> Iterator[Self]:
        """Hold what `choose` takes of all dead letters until the block ends, and let everybody see the others.

        What somebody else holds is not among them. Raises PubSubError, and what `choose` raises.
        """
        began = datetime.now(UTC)
        with pubsub_errors(subscription_path):
            client = SubscriberClient()
        with PullSubscription(client, subscription_path) as subscription:
            # A handler that fails makes dead letters all the time: those that come meanwhile do not prolong the pull.
            pulls = subscription.pull_until_empty(is_meant=lambda pulled: pulled.published_at < began)
            found = [DeadLetter(pulled=pulled) for some in pulls for pulled in some]
            letters = choose(found)
            kept = {letter.message_id for letter in letters}
            subscription.give_back(letter.pulled for letter in found if letter.message_id not in kept)
            yield cls(subscription, letters)

    def discard(self) -> list[Discarded]:
        """Remove for good each dead letter that we still hold. A dead letter whose hold ended stays."""
        may_come_back = self.subscription.acknowledge([letter.pulled for letter in self.letters])
        return [Discarded(letter=letter, may_come_back=may_come_back.get(letter.message_id)) for letter in self.letters]


def _named_by(id_: str, letters: Sequence[DeadLetter]) -> set[str]:
    """Return the message ids of the dead letters that `id_` names."""
    exact = {letter.message_id for letter in letters if id_ in (letter.message_id, letter.delivery.event_id)}
    if exact:
        return exact
    names = {name for letter in letters for name in (letter.message_id, letter.delivery.event_id)}
    candidates = sorted(name for name in names if id_ and name.startswith(id_))
    if len(candidates) == 1 and len(id_) >= LEAST_PREFIX_LENGTH:
        return _named_by(candidates[0], letters)
    raise DeadLetterIdRefused(_refusal(id_, candidates))


def _refusal(id_: str, candidates: Sequence[str]) -> str:
    if not candidates:
        return f"No dead letter has the id {id_}; `relay dead-letters list` shows those that exist"
    shown = ", ".join(candidates[:MAX_CANDIDATES])
    more = f" and {len(candidates) - MAX_CANDIDATES} more" if len(candidates) > MAX_CANDIDATES else ""
    if len(candidates) > 1:
        return f"{id_} is ambiguous: {len(candidates)} ids begin with it. Write more of it. They are: {shown}{more}"
    return (
        f"{id_} is not the whole id of a dead letter. Write the whole id, or at least {LEAST_PREFIX_LENGTH} characters "
        f"that only one id begins with. These begin with {id_}: {shown}{more}"
    )
