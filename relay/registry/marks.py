"""What a handler's author writes: `@on` above a function, `Retry` and `Reject` inside it.

`@on` has no effect but the mark, so that importing a handler does nothing and a test calls it directly.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Concatenate, ParamSpec, TypeVar

from relay.errors import HandlerError
from relay.events import Event

ANY_EVENT_TYPE = "*"

_MARK = "__relay_mark__"
_EXAMPLE = '@on("order_state_changed")'

E = TypeVar("E", bound=Event)
P = ParamSpec("P")


class Retry(Exception):
    """Raised by a handler: not now. Pub/Sub delivers the event again later, with back-off."""


class Reject(Exception):
    """Raised by a handler: never. The event goes to the dead-letter topic with this text as the reason."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What `@on` was given."""

    event_types: tuple[str, ...]
    name: str | None
    latest_only: bool


def on(
    *event_types: str, name: str | None = None, latest_only: bool = False
) -> Callable[[Callable[Concatenate[E, P], None]], Callable[Concatenate[E, P], None]]:
    """Mark a function as the handler of these event types; `"*"` stands for every type.

    The type of its first parameter is the model that reads the body: `Event` or one of its subclasses. Further
    parameters are filled with the services offered by `handlers`, by their type.

    `name` is part of the idempotency key, by default `module.function`: a handler that gets another name runs
    again for events that are delivered again. Pin it before renaming or moving a function.

    `latest_only` skips an event that occurred (`date`) before the last one that this handler has handled for the
    same order, and never runs two events of one order at once. Events without a date or an order id always run.

    Raises HandlerError, naming file and line, for `@on` without parentheses and for anything but texts in them.
    """
    for given in event_types:
        if callable(given):
            raise HandlerError(f"{location_of(given)}: @on stands without parentheses; write {_EXAMPLE} above it")
        if not isinstance(given, str):
            raise HandlerError(f"{_caller()}: @on takes event types as texts; write {_written(given)}")
    mark = Mark(event_types, name, latest_only)

    def mark_function(function: Callable[Concatenate[E, P], None]) -> Callable[Concatenate[E, P], None]:
        setattr(function, _MARK, mark)
        return function

    return mark_function


def mark_of(function: object) -> Mark | None:
    """Return what `@on` was given for this function; None if it is not marked."""
    mark = getattr(function, _MARK, None)
    return mark if isinstance(mark, Mark) else None


def location_of(function: Callable[..., object]) -> str:
    """Return `file:line function`, for messages to the handler's author."""
    code: CodeType | None = getattr(function, "__code__", None)
    name = getattr(function, "__name__", repr(function))
    return name if code is None else f"{place_of(code.co_filename, code.co_firstlineno)} {name}"


def place_of(filename: str, line: int) -> str:
    """Return `folder/file:line`."""
    file = Path(filename)
    return f"{file.parent.name}/{file.name}:{line}"


def _caller() -> str:
    frame = sys._getframe(2)  # noqa: SLF001 - the standard library's documented way to the caller's line
    return place_of(frame.f_code.co_filename, frame.f_lineno)


def _written(given: object) -> str:
    if not isinstance(given, list | tuple | set | frozenset):
        return _EXAMPLE
    return f"@on({', '.join(repr(one) for one in given)})".replace("'", '"')
