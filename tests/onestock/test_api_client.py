"""A call of OneStock's API: one login for many, repeated as OneStock asks, never done twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from relay.errors import OneStockLoginRefused, OneStockRefused, OneStockUnavailable
from relay.onestock import OneStock
from tests.onestock.conftest import BUSY, FOUND, ORDER, PASSWORD, TOKEN, client_of, error_of, settings_for
from tests.support.faulty_api import FastTime, FaultyApi, json_reply, late_reply


@pytest.mark.parametrize("content", [{"id": "ORD-1", "state": "packed"}, {"order": {"id": "ORD-1", "state": "packed"}}])
def test_an_order_is_read_bare_and_wrapped(api: FaultyApi, onestock: OneStock, content: dict[str, object]) -> None:
    api.on(ORDER, json_reply(content))

    order = onestock.get_order("ORD-1", fields=["id", "state"])

    assert (order.id, order.state, order.parcels) == ("ORD-1", "packed", ())
    assert api.asked[-1].method == "GET"
    assert api.asked[-1].content == {"site_id": "test-site", "token": TOKEN, "fields": ["id", "state"]}


def test_unknown_fields_are_kept_and_null_ones_are_missing(api: FaultyApi, onestock: OneStock) -> None:
    api.on(ORDER, json_reply({"id": 7, "parcels": None, "customer": None, "invented": {"a": None}, "later": None}))

    order = onestock.get_order("ORD-1")

    assert (order.id, order.parcels, order.customer) == ("7", (), {})
    assert order.model_extra == {"invented": {"a": None}, "later": None}


def test_a_get_may_go_as_a_post(api: FaultyApi, times: FastTime) -> None:
    onestock = client_of(settings_for(api, ONESTOCK_API_GET="override", ONESTOCK_API_VERSIONS="orders=v9"), times)
    api.on("/v9/orders/ORD-1", FOUND)

    onestock.get_order("ORD-1")
    onestock.close()

    assert [(asked.method, asked.override) for asked in api.asked] == [("POST", None), ("POST", "GET")]


def test_one_login_serves_many_calls(api: FaultyApi, onestock: OneStock) -> None:
    for _ in range(3):
        onestock.get_order("ORD-1")

    assert api.paths() == ["/v2/login", ORDER, ORDER, ORDER]
    assert api.asked[0].content == {"site_id": "test-site", "user_id": "test-user", "password": PASSWORD}


def test_an_ended_token_costs_many_threads_one_login(api: FaultyApi, onestock: OneStock) -> None:
    onestock.get_order("ORD-1")
    api.on("/v2/login", late_reply(json_reply({"token": "test-token-2"}), api=api, seconds=0.2))
    api.ended_tokens.add(TOKEN)

    with ThreadPoolExecutor(8) as threads:
        orders = list(threads.map(lambda _: onestock.get_order("ORD-1"), range(8)))

    assert [order.id for order in orders] == ["ORD-1"] * 8
    assert api.paths().count("/v2/login") == 2
    assert {asked.content["token"] for asked in api.asked[-8:]} == {"test-token-2"}


def test_a_token_that_is_refused_twice_is_an_error(api: FaultyApi, onestock: OneStock) -> None:
    api.on(ORDER, json_reply({"error": "unauthorized"}, 401))

    error = error_of(onestock)

    assert isinstance(error, OneStockLoginRefused)
    assert api.paths() == ["/v2/login", ORDER, "/v2/login", ORDER]


def test_a_wrong_password_is_tried_once_a_minute(api: FaultyApi, onestock: OneStock, times: FastTime) -> None:
    api.on("/v2/login", json_reply({"error": "unauthorized", "message": "bad credentials"}, 401, Request_Id="r-1"))
    texts = {str(error_of(onestock)) for _ in range(5)}
    times.sleep(61)
    api.on("/v2/login", json_reply({"token": TOKEN}))

    onestock.get_order("ORD-1")

    assert texts == {
        (
            "OneStock, POST /v2/login: 401 unauthorized: bad credentials; "
            "check ONESTOCK_SITE_ID, ONESTOCK_USER_ID and ONESTOCK_PASSWORD (Request-Id r-1)"
        )
    }
    assert api.paths() == ["/v2/login", "/v2/login", ORDER]


def test_too_many_requests_are_repeated_later_and_later(api: FaultyApi, onestock: OneStock, times: FastTime) -> None:
    api.on(ORDER, BUSY, BUSY, json_reply({}, 500), json_reply({}, 503), FOUND)

    assert onestock.get_order("ORD-1").state == "packed"

    assert times.pauses == [1, 2, 4, 8]


def test_pauses_end_at_a_minute(api: FaultyApi, times: FastTime) -> None:
    onestock = client_of(settings_for(api, ONESTOCK_API_BUDGET_SECONDS="400"), times)
    api.on(ORDER, BUSY)

    error = error_of(onestock)
    onestock.close()

    assert times.pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert str(error) == f"OneStock, GET {ORDER}: 429 too_many_requests: slow down, after 12 attempts"


@pytest.mark.parametrize(
    ("header", "pause"),
    [("7", 7), ("Sun, 09 Sep 2001 01:46:49 GMT", 9), ("soon", 1), ("Sun, 99 Sep 2001", 1)],
)
def test_retry_after_is_honoured(api: FaultyApi, onestock: OneStock, times: FastTime, header: str, pause: int) -> None:
    api.on(ORDER, json_reply({}, 429, Retry_After=header), FOUND)

    onestock.get_order("ORD-1")

    assert times.pauses == [pause]


def test_a_wait_beyond_the_budget_is_not_begun(api: FaultyApi, onestock: OneStock, times: FastTime) -> None:
    api.on(ORDER, json_reply({}, 429, Retry_After="3600", Request_Id="r-2"))

    error = error_of(onestock)

    assert isinstance(error, OneStockUnavailable)
    assert (error.retry_after_seconds, error.request_id, times.pauses) == (3600, "r-2", [])


def test_a_webhook_is_not_created_twice(api: FaultyApi, onestock: OneStock) -> None:
    api.on("/webhooks", json_reply({}, 502))

    with pytest.raises(OneStockUnavailable, match="502") as caught:
        onestock.create_webhook("order_state_changed", "https://r.example", hash_key=SecretStr("test-hash-key"))

    assert caught.value.may_have_happened
    assert api.paths().count("/webhooks") == 1


def test_an_id_cannot_lead_to_another_path(api: FaultyApi, onestock: OneStock) -> None:
    api.on("/v2/orders/..%2Fwebhooks%3Fx", FOUND)

    onestock.get_order("../webhooks?x")

    for id_ in ("", ".", ".."):
        with pytest.raises(OneStockRefused, match="cannot be an id"):
            onestock.get_order(id_)
