"""The handlers by event type: collected from a package, each one checked."""

import logging
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Self

from relay.errors import HandlerError
from relay.events import nearest_event_type
from relay.registry.checks import Handler, Offer, checked
from relay.registry.discovery import marked_functions, overlooked
from relay.registry.marks import ANY_EVENT_TYPE

logger = logging.getLogger(__name__)


class Registry:
    """The handlers, by event type."""

    def __init__(self, handlers: Iterable[Handler], *, overlooked: Iterable[str] = ()) -> None:
        """Refuse two handlers of one name with HandlerError; `overlooked` are doubts about what has no handler."""
        self.handlers = tuple(handlers)
        self._overlooked = tuple(overlooked)
        by_name: dict[str, Handler] = {}
        for handler in self.handlers:
            other = by_name.setdefault(handler.name, handler)
            if other is not handler:
                raise HandlerError(
                    f"{handler.location}: the name {handler.name!r} is taken by {other.location}; "
                    "give one of them another with @on(..., name=...)"
                )

    @classmethod
    def collect(
        cls, package: ModuleType, services: Iterable[object] = (), *, not_configured: Mapping[type, str] | None = None
    ) -> Self:
        """Return the registry of the marked functions in the modules of `package`.

        `services` are the objects that handlers may ask for by type; `not_configured` says for a type that would be
        on offer what to set. Raises HandlerError, naming file, line and what to do, for each kind of function that
        could never run.
        """
        offer = Offer({type(service): service for service in services}, not_configured or {})
        handlers = [checked(function, offer) for function in marked_functions(package)]
        return cls(handlers, overlooked=overlooked(package))

    @classmethod
    def of(
        cls,
        *functions: Callable[..., None],
        services: Iterable[object] = (),
        not_configured: Mapping[type, str] | None = None,
    ) -> Self:
        """Return the registry of these marked functions. Raises HandlerError as `collect` does."""
        offer = Offer({type(service): service for service in services}, not_configured or {})
        return cls(checked(function, offer) for function in functions)

    def for_event_type(self, event_type: str) -> tuple[Handler, ...]:
        """Return the handlers to run for an event, in the order of their modules and lines."""
        return tuple(
            handler
            for handler in self.handlers
            if event_type in handler.event_types or ANY_EVENT_TYPE in handler.event_types
        )

    @property
    def most_handlers_for_one_event(self) -> int:
        """How many handlers one delivery can run, at most."""
        catching_all = len(self.for_event_type(ANY_EVENT_TYPE))
        named = {event_type for handler in self.handlers for event_type in handler.event_types} - {ANY_EVENT_TYPE}
        return max((len(self.for_event_type(event_type)) for event_type in named), default=catching_all)

    @property
    def doubts(self) -> list[str]:
        """What may be a mistake and may be meant, one line each.

        Event types that resemble a known one, modules without a handler, folders that are no package.
        """
        resembling = [
            f"{handler.location}: the event type {event_type!r} is not known; is {nearest!r} meant?"
            for handler in self.handlers
            for event_type in sorted(set(handler.event_types) - handler.model.event_types)
            if (nearest := nearest_event_type(event_type))
        ]
        return [*resembling, *self._overlooked]

    def announce(self) -> None:
        """Log which handlers were loaded, and each doubt."""
        loaded = [
            {"name": handler.name, "event_types": handler.event_types, "location": handler.location}
            for handler in self.handlers
        ]
        logger.info("Handlers loaded: %d", len(loaded), extra={"json_fields": {"line": "handlers", "handlers": loaded}})
        for doubt in self.doubts:
            logger.warning("%s", doubt)


def suggestion_for(event_type: str) -> str:
    """Return the handler to paste where an event type has none."""
    function = "".join(character if character.isalnum() else "_" for character in event_type)
    decorated = f'@on("{event_type}")\ndef handle_{function}(event: Event) -> None: ...'
    return f"from relay import Event, on\n\n\n{decorated}"


def only_catch_all_text(event_type: str) -> str:
    """Return what to say where no handler names an event type, and one for all types took the event."""
    nearest = nearest_event_type(event_type)
    meant = f"; is {nearest!r} meant?" if nearest else "."
    return f'only @on("*") handlers took it{meant}'
