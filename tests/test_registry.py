"""What can never run is refused at start, with file, line and what to do."""

import importlib
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from relay import Event, OrderStateChanged, on
from relay.errors import HandlerError
from relay.registry import Registry, services_of

if TYPE_CHECKING:
    from relay.stores.memory import MemoryStore


class Shop:
    """A service of the customer's own."""


class Parcel(Event):
    """A model whose field has a type that pydantic cannot read."""

    shop: Shop


class Refund(Event):
    """A model whose field has a type that exists for the type checker only."""

    store: "MemoryStore"


def without_event() -> None: ...
def without_annotation(event) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def with_a_dict(event: dict[str, Any]) -> None: ...
def with_a_bare_dict(event: dict) -> None: ...  # type: ignore[type-arg]
def with_an_unknown(event: Event, db) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
async def asynchronous(event: Event) -> None: ...
async def asynchronous_generator(_: Event) -> AsyncIterator[int]:
    yield 1


def generator(_: Event) -> Iterator[int]:
    yield 1


def with_a_name_for_the_type_checker(event: Event, store: "MemoryStore") -> None: ...
def with_a_shop(event: Event, shop: Shop) -> None: ...
def with_anything(event: Event, **further: Any) -> None: ...
def of_orders(event: OrderStateChanged) -> None: ...
def of_anything(event: Event) -> None: ...
def of_parcels(event: Parcel) -> None: ...
def of_refunds(event: Refund) -> None: ...


@pytest.mark.parametrize(
    ("function", "event_types", "message"),
    [
        (without_event, ["x"], "takes no event"),
        (without_annotation, ["x"], "annotate 'event' .* found none"),
        (with_a_dict, ["x"], r"annotate 'event' .* found dict\[str, typing.Any\]"),
        (with_a_bare_dict, ["x"], "annotate 'event' .* found dict$"),
        (asynchronous, ["x"], "is async"),
        (asynchronous_generator, ["x"], "is async"),
        (generator, ["x"], "is a generator"),
        (with_a_name_for_the_type_checker, ["x"], "import the name at run time"),
        (with_a_shop, ["x"], "nothing provides the parameter 'shop'"),
        (with_a_shop, ["x"], r"the parameter 'shop' \(Shop\)"),
        (with_an_unknown, ["x"], "'db' has no annotation; give it the type of a service"),
        (with_anything, ["x"], "cannot be filled"),
        (of_orders, ["order_state_change"], "is 'order_state_changed' meant\\? OrderStateChanged describes"),
        (of_orders, ["parcel_state_changed"], "OrderStateChanged describes order_state_changed"),
        (of_orders, ["*"], "OrderStateChanged describes order_state_changed"),
        (of_parcels, ["x"], "Parcel cannot be built: Unable to generate pydantic-core schema for .*Shop"),
        (of_refunds, ["x"], "Refund cannot be built: name 'MemoryStore' is not defined"),
        (of_anything, [], "@on names no event type"),
        (of_anything, ["a/b"], "cannot be an event type"),
    ],
)
def test_what_can_never_run_is_refused(function: Callable[..., Any], event_types: list[str], message: str) -> None:
    on(*event_types)(function)

    with pytest.raises(HandlerError, match=rf"tests/test_registry\.py:\d+ {function.__name__}: .*{message}"):
        Registry.of(function)


def test_two_handlers_of_one_name_are_refused() -> None:
    first = on("a", name="twin")(of_anything)
    second = on("order_state_changed", name="twin")(of_orders)

    with pytest.raises(HandlerError, match="the name 'twin' is taken by"):
        Registry.of(first, second)


def test_a_service_is_filled_in_by_its_type() -> None:
    given: list[object] = []

    @on("x")
    def handler(_: Event, shop: Shop) -> None:
        given.append(shop)

    shop = Shop()
    registry = Registry.of(handler, services=[shop])
    registry.for_event_type("x")[0].run(Event())

    assert given == [shop]


def test_a_catch_all_runs_beside_the_named_ones() -> None:
    registry = Registry.of(on("order_state_changed")(of_orders), on("*")(of_anything))

    names = [handler.name.rpartition(".")[2] for handler in registry.for_event_type("order_state_changed")]

    assert names == ["of_orders", "of_anything"]
    assert len(registry.for_event_type("never_seen")) == 1


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Make a package of the modules whose texts are given."""
    name = f"package_{uuid.uuid4().hex}"

    def make(**modules: str) -> ModuleType:
        folder = tmp_path / name
        folder.mkdir()
        for module, text in {"__init__": "", **modules}.items():
            (folder / f"{module}.py").write_text(text.replace("PACKAGE", name))
        return importlib.import_module(name)

    monkeypatch.syspath_prepend(str(tmp_path))
    yield make
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


HANDLER = "from relay import *\n\n\n@on('x')\ndef act(event: Event) -> None: ...\n"


def test_the_modules_of_a_package_are_discovered(package: Callable[..., ModuleType]) -> None:
    made = package(orders=HANDLER, again="from PACKAGE.orders import act\n")

    registry = Registry.collect(made)

    assert [handler.name for handler in registry.handlers] == [f"{made.__name__}.orders.act"]


def test_a_module_without_a_handler_and_a_folder_that_is_no_package_are_doubts(
    package: Callable[..., ModuleType],
) -> None:
    made = package(orders=HANDLER, forgotten="def act(event): ...\n", _prices="")
    folder = Path(made.__path__[0])
    for name in ("lost", "kept"):
        (folder / name).mkdir()
        (folder / name / "orders.py").write_text(HANDLER)
    (folder / "kept" / "__init__.py").touch()

    doubts = Registry.collect(made).doubts

    assert [doubt.removeprefix(f"{made.__name__}/").partition(";")[0] for doubt in doubts[-2:]] == [
        "forgotten.py: defines no handler",
        "lost: is not loaded, since it has no __init__.py",
    ]
    assert len(doubts) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nowhere_to_be_found\n", r"orders\.py:1: ModuleNotFoundError: No module named"),
        ("def act(:\n", r"orders\.py:1: SyntaxError: "),
        ("import json\n\njson.loads('')\n", r"orders\.py:3: JSONDecodeError: "),
        (
            "from relay import on\n\n\n@on\ndef act(event): ...\n",
            r'orders\.py:4 act: @on stands without parentheses; write @on\("order_state_changed"\) above it',
        ),
        (
            "from relay import on\n\n\n@on(['a', 'b'])\ndef act(event): ...\n",
            r'orders\.py:4: @on takes event types as texts; write @on\("a", "b"\)',
        ),
        (f"{HANDLER}\n\ndef act() -> None: ...\n", r"orders\.py:5 act: never runs, since line 8 defines the same name"),
    ],
)
def test_a_module_that_cannot_be_used_is_told_with_file_and_line(
    package: Callable[..., ModuleType], text: str, told: str
) -> None:
    made = package(orders=text)

    with pytest.raises(HandlerError, match=rf"{made.__name__}/{told}"):
        Registry.collect(made)


def test_an_event_type_that_resembles_a_known_one_is_a_doubt_and_no_refusal() -> None:
    registry = Registry.of(on("order_state_change", "workflow_step_ended")(of_anything))

    assert len(registry.doubts) == 1
    assert registry.doubts[0].endswith(
        "of_anything: the event type 'order_state_change' is not known; is 'order_state_changed' meant?"
    )


def test_a_package_needs_no_services(package: Callable[..., ModuleType]) -> None:
    made = package()

    assert services_of(made) == []
    assert Registry.collect(made).handlers == ()


def test_services_that_cannot_be_made_are_told_with_file_and_line(package: Callable[..., ModuleType]) -> None:
    made = package(__init__="def services():\n    raise KeyError('SHOP_URL')\n")

    with pytest.raises(HandlerError, match=rf"{made.__name__}/__init__\.py:2: KeyError: 'SHOP_URL'"):
        services_of(made)


def test_a_field_that_would_hide_the_events_own_is_refused() -> None:
    with (
        pytest.raises(HandlerError, match="the field 'event_id' would hide the event's own"),
        pytest.warns(UserWarning, match="shadows"),
    ):
        type("Shadowing", (Event,), {"__annotations__": {"event_id": str}})


def test_a_service_that_is_not_configured_says_what_to_set() -> None:
    handler = on("x")(with_a_shop)

    with pytest.raises(HandlerError, match="with_a_shop: asks for Shop, which is not configured; set SHOP_URL"):
        Registry.of(handler, not_configured={Shop: "set SHOP_URL"})
