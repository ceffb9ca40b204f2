"""What can never run is refused at start, with file, line and what to do."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relay import Event, OrderStateChanged, on
from relay.errors import HandlerError
from relay.registry import Registry

if TYPE_CHECKING:
    from relay.stores.memory import MemoryStore


class Shop:
    """A service of the customer's own."""


def without_event() -> None: ...
def without_annotation(event) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def with_a_dict(event: dict[str, Any]) -> None: ...
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


@pytest.mark.parametrize(
    ("function", "event_types", "message"),
    [
        (without_event, ["x"], "takes no event"),
        (without_annotation, ["x"], "annotate 'event' .* found none"),
        (with_a_dict, ["x"], "annotate 'event' .* found dict"),
        (asynchronous, ["x"], "is async"),
        (asynchronous_generator, ["x"], "is async"),
        (generator, ["x"], "is a generator"),
        (with_a_name_for_the_type_checker, ["x"], "import the name at run time"),
        (with_a_shop, ["x"], "nothing provides the parameter 'shop'"),
        (with_anything, ["x"], "cannot be filled"),
        (of_orders, ["parcel_state_changed"], "OrderStateChanged describes order_state_changed"),
        (of_orders, ["*"], "OrderStateChanged describes order_state_changed"),
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


def test_the_modules_of_a_package_are_discovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "discovered"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "orders.py").write_text("from relay import *\n@on('x')\ndef act(event: Event) -> None: ...\n")
    (package / "again.py").write_text("from discovered.orders import act\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    registry = Registry.collect(__import__("discovered"))

    assert [handler.name for handler in registry.handlers] == ["discovered.orders.act"]
    sys.modules.pop("discovered")


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "broken"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "orders.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(HandlerError, match=r"broken/orders\.py:1: ModuleNotFoundError: No module"):
        Registry.collect(__import__("broken"))


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
