"""Dead letters: what nobody could handle, put there by the worker (quarantine) or by Pub/Sub (too many attempts)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from google.pubsub_v1 import SubscriberClient

from relay.errors import PublishError
from relay.events import Delivery
from relay.message import Message, redrives_of
from relay.pubsub.pace import Pace
from relay.pubsub.publisher import Publisher
from relay.pubsub.pull import Pulled, PullSubscription
from relay.pubsub.quarantine import ATTRIBUTE_PREFIX

PUBLISH_BUDGET_SECONDS = 30
# Pub/Sub's own attributes on what it gave up ("Dead-letter topics", Google Cloud Pub/Sub documentation).
_FORWARDED_PREFIX = "CloudPubSubDeadLetter"
_FORWARDED_ATTEMPTS = "CloudPubSubDeadLetterSourceDeliveryCount"


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
    def reason(self) -> str:
        """Why nobody handled it, in one line."""
        given_up = f"Pub/Sub gave up after {self.attempts or 'too many'} delivery attempts"
        return self._attributes.get("dead_letter_reason", given_up)

    @property
    def handler(self) -> str:
        """The handler that rejected it; empty if it was not one alone."""
        return self._attributes.get("dead_letter_handler", "")

    @property
    def attempts(self) -> int | None:
        """How often it had been delivered; None where the subscription did not count."""
        text = self._attributes.get("dead_letter_attempt", self._attributes.get(_FORWARDED_ATTEMPTS, ""))
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def redrives(self) -> int:
        """How often it was redriven before."""
        return redrives_of(self._attributes)

    def age_seconds(self, now: datetime) -> float:
        """Return how long it has been a dead letter."""
        return (now - self.pulled.published_at).total_seconds()

    def redriven(self, now: datetime) -> Message:
        """Return the message that brings the event back to the topic: the same event, in a new generation.

        The generation is at least the Unix time, so that it is higher than that of every earlier redrive or replay
        of the event, whichever of its messages that one came from.
        """
        kept = {
            name: value
            for name, value in self._attributes.items()
            if not name.startswith((ATTRIBUTE_PREFIX, _FORWARDED_PREFIX)) and name != "rerun"
        }
        attributes = {
            **kept,
            "event_id": self.delivery.event_id,
            "event_type": self.delivery.event_type,
            "received_at": self.delivery.received_at.isoformat(timespec="milliseconds"),
            "generation": str(max(self.delivery.generation + 1, int(now.timestamp()))),
            "redrives": str(self.redrives + 1),
        }
        return Message(data=self.pulled.message.data, attributes=attributes, ordering_key=self.delivery.ordering_key)

    @property
    def _attributes(self) -> Mapping[str, str]:
        return self.delivery.attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters are meant: those that fit everything that is set."""

    ids: Sequence[str] = ()
    """Message ids, or the beginnings of event ids."""
    event_type: str | None = None
    order_id: str | None = None
    reason: str | None = None
    """A part of the reason, in any case."""
    handler: str | None = None
    older_than_seconds: float | None = None
    newer_than_seconds: float | None = None

    def fits(self, letter: DeadLetter, now: datetime) -> bool:
        """Return whether `letter` is meant."""
        age_seconds = letter.age_seconds(now)
        named = any(id_ == letter.message_id or letter.delivery.event_id.startswith(id_) for id_ in self.ids)
        return (
            (named or not self.ids)
            and self.event_type in (None, letter.delivery.event_type)
            and self.order_id in (None, letter.delivery.ordering_key)
            and self.handler in (None, letter.handler)
            and (self.reason is None or self.reason.lower() in letter.reason.lower())
            and (self.older_than_seconds is None or age_seconds > self.older_than_seconds)
            and (self.newer_than_seconds is None or age_seconds < self.newer_than_seconds)
        )


class Ending(StrEnum):
    """What became of one dead letter in a redrive."""

    REDRIVEN = "redriven"
    TOO_OFTEN = "too_often"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """One dead letter of a redrive; the reason says why it stayed where it is."""

    letter: DeadLetter
    ending: Ending
    reason: str | None = None


class DeadLetters:
    """The dead letters of one subscription, held while the command works on them."""

    def __init__(self, subscription: PullSubscription, letters: Sequence[DeadLetter]) -> None:
        self._subscription = subscription
        self.letters = letters

    @classmethod
    @contextmanager
    def held(cls, subscription_path: str, wanted: Filter, *, now: datetime, limit: int) -> Iterator[Self]:
        """Hold all dead letters, oldest event first, and give back in the end what was not acknowledged.

        Nobody else sees them meanwhile. `limit` bounds how many are looked at (0: all). Raises PubSubError.
        """
        subscription = PullSubscription(SubscriberClient(), subscription_path)
        letters: list[DeadLetter] = []
        try:
            while (not limit or len(letters) < limit) and (pulled := subscription.pull()):
                letters += [DeadLetter(pulled=message) for message in pulled]
                subscription.keep()
            letters.sort(key=lambda letter: (letter.delivery.received_at, letter.message_id))
            yield cls(subscription, [letter for letter in letters if wanted.fits(letter, now)])
        finally:
            subscription.give_back()

    def redrive(
        self, publisher: Publisher, *, pace: Pace, max_redrives: int, now: Callable[[], datetime]
    ) -> Iterator[Redriven]:
        """Publish each event again, and acknowledge its dead letter once Pub/Sub has confirmed.

        An event that came back `max_redrives` times stays where it is: it would only come back once more.
        Raises PubSubError if a dead letter cannot be acknowledged; it is then redriven once more next time, and
        handlers that have succeeded stay done.
        """
        for letter in self.letters:
            if letter.redrives >= max_redrives:
                reason = f"was redriven {letter.redrives} times already; mend the cause, or raise --max-redrives"
                yield Redriven(letter=letter, ending=Ending.TOO_OFTEN, reason=reason)
                continue
            pace.wait()
            self._subscription.keep()
            try:
                publisher.publish(letter.redriven(now()), budget_seconds=PUBLISH_BUDGET_SECONDS)
            except PublishError as error:
                yield Redriven(letter=letter, ending=Ending.FAILED, reason=str(error))
                continue
            self._subscription.acknowledge([letter.pulled])
            yield Redriven(letter=letter, ending=Ending.REDRIVEN)

    def discard(self) -> None:
        """Remove them for good. Raises PubSubError."""
        self._subscription.acknowledge([letter.pulled for letter in self.letters])
