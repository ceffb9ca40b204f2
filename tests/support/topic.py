"""A topic in memory, behind the `Publisher` port."""

import threading
from dataclasses import dataclass, field

from relay.message import Message


@dataclass
class Topic:
    """Keeps what is published; fails, or waits at its gate, as told."""

    messages: list[Message] = field(default_factory=list)
    failure: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def publish(self, message: Message, *, budget_seconds: float) -> str:
        self.waiting += 1
        assert self.gate.wait(budget_seconds)
        self.waiting -= 1
        if self.failure is not None:
            raise self.failure
        self.messages.append(message)
        return f"m-{len(self.messages)}"
