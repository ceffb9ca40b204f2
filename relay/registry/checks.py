"""Whether a marked function can ever run: its event types, its parameters, and the services that fill them."""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from relay.errors import HandlerError
from relay.events import Event, nearest_event_type
from relay.message import is_event_type
from relay.registry.marks import ANY_EVENT_TYPE, Mark, location_of, mark_of


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


@dataclass(frozen=True, slots=True)
class Offer:
    """What handlers may ask for by type."""

    services: Mapping[type, object]
    not_configured: Mapping[type, str]


def checked(function: Callable[..., None], offer: Offer) -> Handler:
    """Return the handler that `function` is. Raises HandlerError, naming file, line and what to do, if it is none."""
    mark = mark_of(function)
    location = location_of(function)
    if mark is None:
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
    _build(model, location)
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


def _check_event_types(mark: Mark, location: str) -> None:
    if not mark.event_types:
        raise HandlerError(
            f'{location}: @on names no event type; write @on("order_state_changed"), or @on("*") for all'
        )
    for event_type in mark.event_types:
        if event_type != ANY_EVENT_TYPE and not is_event_type(event_type):
            raise HandlerError(f"{location}: {event_type!r} cannot be an event type (1 to 128 characters, no slash)")


def _check_parameters(
    function: Callable[..., None], offer: Offer, location: str
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
        found = "none" if model is None else _name_of(model)
        raise HandlerError(f"{location}: annotate {first.name!r} with Event or one of its models; found {found}")
    injected = {parameter.name: _service_for(parameter, annotations, offer, location) for parameter in further}
    return model, injected


def _service_for(parameter: inspect.Parameter, annotations: Mapping[str, Any], offer: Offer, location: str) -> object:
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
    if wanted is None:
        raise HandlerError(
            f"{location}: the parameter {parameter.name!r} has no annotation; give it the type of a service. "
            f"Services on offer: {offered}"
        )
    raise HandlerError(
        f"{location}: nothing provides the parameter {parameter.name!r} ({_name_of(wanted)}); services on offer: "
        f"{offered}. "
        "Offer it in handlers/__init__.py: def services(): return [...]"
    )


def _name_of(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _check_model_fits(model: type[Event], mark: Mark, location: str) -> None:
    foreign = set(mark.event_types) - model.event_types
    if model.event_types and foreign:
        meant = [f"is {nearest!r} meant? " for one in sorted(foreign) if (nearest := nearest_event_type(one))]
        raise HandlerError(
            f"{location}: {''.join(meant)}{model.__name__} describes {', '.join(sorted(model.event_types))}, not "
            f"{', '.join(sorted(foreign))}; use Event, or a model of your own"
        )


def _build(model: type[Event], location: str) -> None:
    """Build the model, which pydantic leaves to the first event otherwise. Raises HandlerError if it cannot."""
    try:
        model.model_rebuild()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        reason = str(error).splitlines()[0]
        raise HandlerError(f"{location}: {model.__name__} cannot be built: {reason}") from error
