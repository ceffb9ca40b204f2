"""What a handler is: `@on` marks a function, the registry collects the marked ones and checks each at start.

`@on` has no effect but the mark, so that importing a handler does nothing and a test calls it directly.
"""

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from relay.errors import HandlerError
from relay.events import Event
from relay.message import is_event_type

ANY_EVENT_TYPE = "*"

_MARK = "__relay_mark__"

E = TypeVar("E", bound=Event)
P = ParamSpec("P")


class Retry(Exception):
    """Raised by a handler: not now. Pub/Sub delivers the event again later, with back-off."""


class Reject(Exception):
    """Raised by a handler: never. The event goes to the dead-letter topic with this text as the reason."""


@dataclass(frozen=True, slots=True)
class _Mark:
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
    """
    mark = _Mark(event_types, name, latest_only)

    def mark_function(function: Callable[Concatenate[E, P], None]) -> Callable[Concatenate[E, P], None]:
        setattr(function, _MARK, mark)
        return function

    return mark_function


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A function that was checked and is ready to run."""

    name: str
    """Part of the idempotency key."""
    event_types: tuple[str, ...]
    model: type[Event]
    run: Callable[[Event], None]
    location: str
    """`file:line function`, for messages to its author."""
    latest_only: bool = False
    """Whether events older than the last one handled for the same order are skipped."""


class Registry:
    """The handlers, by event type."""

    def __init__(self, handlers: Iterable[Handler]) -> None:
        """Refuse two handlers of one name with HandlerError."""
        self.handlers = tuple(handlers)
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
        return cls.of(*_marked_functions(package), services=services, not_configured=not_configured)

    @classmethod
    def of(
        cls,
        *functions: Callable[..., None],
        services: Iterable[object] = (),
        not_configured: Mapping[type, str] | None = None,
    ) -> Self:
        """Return the registry of these marked functions. Raises HandlerError as `collect` does."""
        offer = _Offer({type(service): service for service in services}, not_configured or {})
        return cls(_check(function, offer) for function in functions)

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


@dataclass(frozen=True, slots=True)
class _Offer:
    """What handlers may ask for by type."""

    services: Mapping[type, object]
    not_configured: Mapping[type, str]


def suggestion_for(event_type: str) -> str:
    """Return the handler to paste where an event type has none."""
    function = "".join(character if character.isalnum() else "_" for character in event_type)
    return f'@on("{event_type}")\ndef handle_{function}(event: Event) -> None: ...'


def _marked_functions(package: ModuleType) -> Iterator[Callable[..., None]]:
    for info in sorted(pkgutil.walk_packages(package.__path__, f"{package.__name__}."), key=lambda info: info.name):
        module = _import(info.name)
        for value in vars(module).values():
            # A function imported from another module is collected there.
            if hasattr(value, _MARK) and value.__module__ == module.__name__:
                yield value


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except HandlerError:
        raise
    except Exception as error:
        # Whatever a handler's module raises while it loads is its author's to mend.
        raise HandlerError(f"{name}: cannot be imported: {type(error).__name__}: {error}") from error


def _check(function: Callable[..., None], offer: _Offer) -> Handler:
    mark = getattr(function, _MARK, None)
    location = _location_of(function)
    if not isinstance(mark, _Mark):
        raise HandlerError(f"{location}: is not marked; put @on(...) above it")
    _check_event_types(mark, location)
    if not inspect.isfunction(function):
        raise HandlerError(f"{location}: only a plain function can be a handler")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise HandlerError(f"{location}: is async; calling it would run nothing. Write 'def' and call what you need")
    if inspect.isgeneratorfunction(function):
        raise HandlerError(f"{location}: is a generator; calling it would run nothing. Take out the 'yield'")
    model, injected = _check_parameters(function, offer, location)
    _check_model_fits(model, mark, location)
    run = partial(function, **injected) if injected else function
    name = mark.name or f"{function.__module__}.{function.__qualname__}"
    return Handler(
        name=name,
        event_types=mark.event_types,
        model=model,
        run=run,
        location=location,
        latest_only=mark.latest_only,
    )


def _check_event_types(mark: _Mark, location: str) -> None:
    if not mark.event_types:
        raise HandlerError(
            f'{location}: @on names no event type; write @on("order_state_changed"), or @on("*") for all'
        )
    for event_type in mark.event_types:
        if event_type != ANY_EVENT_TYPE and not is_event_type(event_type):
            raise HandlerError(f"{location}: {event_type!r} cannot be an event type (1 to 128 characters, no slash)")


def _check_parameters(
    function: Callable[..., None], offer: _Offer, location: str
) -> tuple[type[Event], dict[str, object]]:
    """Return the model of the first parameter, and the service for each further one."""
    try:
        annotations = typing.get_type_hints(function)
    except NameError as error:
        raise HandlerError(f"{location}: {error}; import the name at run time, not under TYPE_CHECKING") from error
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in (parameters[0].POSITIONAL_ONLY, parameters[0].POSITIONAL_OR_KEYWORD):
        raise HandlerError(f"{location}: takes no event; give it one parameter, such as 'event: Event'")
    first, *further = parameters
    model = annotations.get(first.name)
    if not (inspect.isclass(model) and issubclass(model, Event)):
        found = "none" if model is None else repr(model)
        raise HandlerError(f"{location}: annotate {first.name!r} with Event or one of its models; found {found}")
    injected = {parameter.name: _service_for(parameter, annotations, offer, location) for parameter in further}
    return model, injected


def _service_for(parameter: inspect.Parameter, annotations: Mapping[str, Any], offer: _Offer, location: str) -> object:
    wanted = annotations.get(parameter.name)
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise HandlerError(f"{location}: {parameter} cannot be filled; name each parameter and give it a type")
    for provided, service in offer.services.items():
        if wanted is provided:
            return service
    for unset, what_to_do in offer.not_configured.items():
        if wanted is unset:
            raise HandlerError(f"{location}: asks for {unset.__name__}, which is not configured; {what_to_do}")
    offered = ", ".join(sorted(provided.__name__ for provided in offer.services)) or "none"
    raise HandlerError(
        f"{location}: nothing provides the parameter {parameter.name!r} ({wanted}); services on offer: {offered}. "
        "Offer it in handlers/__init__.py: def services(): return [...]"
    )


def _check_model_fits(model: type[Event], mark: _Mark, location: str) -> None:
    foreign = set(mark.event_types) - model.event_types
    if model.event_types and foreign:
        raise HandlerError(
            f"{location}: {model.__name__} describes {', '.join(sorted(model.event_types))}, not "
            f"{', '.join(sorted(foreign))}; use Event, or a model of your own"
        )


def _location_of(function: Callable[..., None]) -> str:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__name__", repr(function))
    if code is None:
        return name
    file = Path(code.co_filename)
    return f"{file.parent.name}/{file.name}:{code.co_firstlineno} {name}"
