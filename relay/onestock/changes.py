"""A change of an order's state: what makes two events tell of the same one, and the event made up for one. No I/O.

OneStock's events have no id, and what OneStock sent cannot be made again byte for byte from what its API tells. Order,
new state and date are in both: an event made up and the one that OneStock sent for the same change are known by them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from relay.events import moment_of
from relay.message import Message

EVENT_TYPE = "order_state_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An order came into a state."""

    order_id: str
    new_state: str
    date: int
    """Unix seconds."""
    old_state: str | None = None

    @classmethod
    def in_event(cls, event_type: str, content: Mapping[str, Any]) -> Self | None:
        """Return the change that an event tells of; None for other event types, and where the body does not say."""
        order_id, new_state, date = content.get("order_id"), content.get("new_state"), content.get("date")
        if event_type != EVENT_TYPE or not order_id or not new_state or moment_of(date) is None:
            return None
        return cls(order_id=str(order_id), new_state=str(new_state), date=int(content["date"]))

    def identities(self, *, tolerance_seconds: int) -> list[str]:
        """Return what identifies the change: for each second that its date may mean, the likeliest first."""
        offsets = sorted(range(-tolerance_seconds, tolerance_seconds + 1), key=abs)
        return [json.dumps([self.order_id, self.new_state, self.date + offset]) for offset in offsets]

    def to_message(self, *, now: datetime, traceparent: str) -> Message:
        """Return the synthetic event, the same for the same change whenever it is made.

        Raises MessageTooLarge if the state's name is beyond all measure.
        """
        states = {"old_state": self.old_state} if self.old_state is not None else {}
        fields = {"order_id": self.order_id, "date": self.date, **states, "new_state": self.new_state}
        return Message.from_webhook(
            json.dumps({**fields, "synthetic": True}).encode(),
            event_type=EVENT_TYPE,
            content_type="application/json",
            received_at=now,
            traceparent=traceparent,
        ).as_synthetic()
