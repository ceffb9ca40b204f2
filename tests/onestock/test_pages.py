"""Lists that come in pages: every item once, however OneStock says where the next page begins, and never for ever."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from relay.errors import OneStockUnreadable
from relay.onestock import OneStock
from relay.settings.onestock import OneStockSettings
from tests.support.faulty_api import FaultyApi, faulty_api, json_reply

SEARCH, HISTORY = "/v2/search_orders", "/v1/history"
NEW_YEAR = 1_735_689_600  # 2025-01-01 00:00:00 UTC


@pytest.fixture
def api() -> Iterator[FaultyApi]:
    with faulty_api() as running:
        running.on("/v2/login", json_reply({"token": "test-token"}))
        yield running


def client(api: FaultyApi, **changed: str) -> OneStock:
    environ = {
        "ONESTOCK_API_URL": api.url,
        "ONESTOCK_SITE_ID": "test-site",
        "ONESTOCK_USER_ID": "test-user",
        "ONESTOCK_PASSWORD": "test-password",
        "ONESTOCK_API_BUDGET_SECONDS": "0.5",
    }
    return OneStock.connected(OneStockSettings.from_environ({**environ, **changed}))


@pytest.fixture
def onestock(api: FaultyApi) -> Iterator[OneStock]:
    connected = client(api)
    yield connected
    connected.close()


def orders(*ids: str, **more: Any) -> Any:
    return json_reply({"orders": [{"id": order_id} for order_id in ids], **more})


def entries(*states: str) -> Any:
    return json_reply({"history": [{"new_state": state, "date": 1} for state in states]})


def asked_pages(api: FaultyApi) -> list[dict[str, Any]]:
    return [asked.content["pagination"] for asked in api.asked if "pagination" in asked.content]


def test_the_next_page_begins_after_the_last_order(api: FaultyApi, onestock: OneStock) -> None:
    api.on(SEARCH, orders("A", "B"), orders("C"), orders())

    found = [order.id for order in onestock.search_orders(page_size=2)]

    assert found == ["A", "B", "C"]
    assert asked_pages(api) == [{"limit": 2}, {"limit": 2, "start": "B"}, {"limit": 2, "start": "C"}]


def test_the_next_page_begins_where_the_answer_says(api: FaultyApi, onestock: OneStock) -> None:
    api.on(SEARCH, orders("A", pagination={"search_after": ["x", 7]}), orders())

    assert [order.id for order in onestock.search_orders(page_size=1)] == ["A"]
    assert asked_pages(api)[1] == {"limit": 1, "search_after": ["x", 7]}


def test_a_page_is_asked_for_when_it_is_wanted(api: FaultyApi, onestock: OneStock) -> None:
    api.on(SEARCH, orders("A", "B"))

    assert len(list(islice(onestock.search_orders(page_size=2), 2))) == 2
    assert len(asked_pages(api)) == 1


@pytest.mark.parametrize(("page_size", "is_all"), [(3, True), (2, False)])
def test_pages_that_repeat_themselves_end(api: FaultyApi, onestock: OneStock, page_size: int, *, is_all: bool) -> None:
    api.on(SEARCH, orders("A", "B"))
    api.on(HISTORY, entries("picking", "packed"))

    for found in (onestock.search_orders(page_size=page_size), onestock.get_history("A", page_size=page_size)):
        assert len(list(islice(found, 2))) == 2
        if is_all:
            assert list(found) == []
        else:
            with pytest.raises(OneStockUnreadable, match="repeat themselves"):
                next(iter(found))


@pytest.mark.parametrize(("dates", "written"), [("digits", 20250101000000), ("unix", NEW_YEAR)])
def test_dates_are_written_as_the_setting_says(api: FaultyApi, dates: str, written: int) -> None:
    api.on(SEARCH, orders())
    onestock = client(api, ONESTOCK_API_DATES=dates)

    assert list(onestock.search_orders(from_date=NEW_YEAR, to_date=NEW_YEAR)) == []
    onestock.close()

    assert (api.asked[-1].content["from_date"], api.asked[-1].content["to_date"]) == (written, written)
