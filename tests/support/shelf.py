"""A dead-letter subscription and a topic in memory: what a job of the console needs of Pub/Sub."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from relay.console.jobs import Choose
from relay.errors import PublishError
from relay.message import Message
from relay.pubsub.dead_letters import DeadLetter, HeldDeadLetters
from relay.pubsub.pull import HOLD_ENDED, Pulled


@dataclass
class Shelf:
    """Holds dead letters for one holder at a time; the holds on some end early; the topic refuses some events."""

    letters: list[DeadLetter] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Events that the topic does not take."""
    lost: set[str] = field(default_factory=set)
    """Message ids on which the hold ends at once."""
    failure: Exception | None = None
    """What a pull raises."""
    on_publish: Callable[[], Any] = lambda: None
    connections: int = 0
    """How many publishers are open."""
    published: list[str] = field(default_factory=list)
    held_at_once: list[int] = field(default_factory=list)
    _held: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def held(self, choose: Choose) -> Iterator[HeldDeadLetters]:
        if self.failure is not None:
            raise self.failure
        with self._lock:
            free = [letter for letter in self.letters if letter.message_id not in self._held]
            chosen = list(choose(free))
            names = {letter.message_id for letter in chosen}
            self._held |= names
        self.held_at_once.append(len(chosen))
        try:
            subscription: Any = self
            yield HeldDeadLetters(subscription, chosen)
        finally:
            with self._lock:
                self._held -= names

    @contextmanager
    def publisher(self) -> Iterator["Shelf"]:
        self.connections += 1
        try:
            yield self
        finally:
            self.connections -= 1

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        assert budget_seconds
        self.on_publish()
        if message.event_id in self.refused:
            raise PublishError("invented: the topic is closed")
        with self._lock:
            self.published.append(message.event_id)
        return "id"

    def holds(self, message: Pulled) -> bool:
        return message.delivery.message_id not in self.lost

    def acknowledge(self, messages: Sequence[Pulled]) -> dict[str, str]:
        names = {message.delivery.message_id for message in messages}
        with self._lock:
            self.letters = [one for one in self.letters if one.message_id not in names - self.lost]
        return dict.fromkeys(names & self.lost, HOLD_ENDED)

    @property
    def message_ids(self) -> set[str]:
        """What is still there."""
        return {letter.message_id for letter in self.letters}
