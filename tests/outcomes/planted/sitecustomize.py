"""Python runs this at its start where the folder is on its path: it plants a fault that no input can cause."""

from typing import Any

from relay.message import Message

PLANTED_FAULT = "planted_fault"


def _failing_for_it(method: Any) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        event_type = named.get("event_type") or getattr(arguments[0], "event_type", None)
        if event_type == PLANTED_FAULT:
            raise RuntimeError("invented: nobody foresaw this")
        return method(*arguments, **named)

    return call


Message.from_webhook = _failing_for_it(Message.from_webhook)  # type: ignore[method-assign]
Message.to_delivery = _failing_for_it(Message.to_delivery)  # type: ignore[method-assign]
