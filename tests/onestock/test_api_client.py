"""Whatever OneStock's server does, a call ends in time: with the answer, or with an error that tells what happened."""

import json
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from relay.errors import (
    OneStockError,
    OneStockLoginRefused,
    OneStockNotFound,
    OneStockRefused,
    OneStockUnavailable,
    OneStockUnreadable,
)
from relay.onestock import OneStock
from relay.onestock.api import Api
from relay.onestock.http import PooledExchange
from relay.settings.onestock import OneStockSettings
from tests.support.faulty_api import (
    FastTime,
    FaultyApi,
    Reply,
    bytes_reply,
    cut_reply,
    dripping_reply,
    faulty_api,
    json_reply,
    late_reply,
)

PASSWORD = 'test-password-"quoted"'  # noqa: S105 - made for this file
TOKEN = "test-token-1"  # noqa: S105 - made for this file
NOW = 1_000_000_000  # Sun, 09 Sep 2001 01:46:40 GMT
ORDER = "/v2/orders/ORD-1"
FOUND = json_reply({"id": "ORD-1", "state": "packed"})
BUSY = json_reply({"error": "too_many_requests", "message": "slow down"}, 429)


@pytest.fixture
def api() -> Iterator[FaultyApi]:
    with faulty_api() as running:
        running.on("/v2/login", json_reply({"token": TOKEN}))
        running.on(ORDER, FOUND)
        yield running


@pytest.fixture
def times() -> FastTime:
    return FastTime()


def settings_for(api: FaultyApi, **changed: str) -> OneStockSettings:
    environ = {
        "ONESTOCK_API_URL": api.url,
        "ONESTOCK_SITE_ID": "test-site",
        "ONESTOCK_USER_ID": "test-user",
        "ONESTOCK_PASSWORD": PASSWORD,
        "ONESTOCK_API_TIMEOUT_SECONDS": "0.5",
        "ONESTOCK_API_BUDGET_SECONDS": "20",
    }
    return OneStockSettings.from_environ({**environ, **changed})


def client_of(settings: OneStockSettings, times: FastTime) -> OneStock:
    exchange = PooledExchange()
    # The exchange counts in real time: what passed for the pauses is taken off its deadline.
    shifted = lambda *args, deadline, **kwargs: exchange(*args, deadline=deadline - sum(times.pauses), **kwargs)  # noqa: E731
    return OneStock(
        settings, Api(settings, shifted, clock=times.clock, sleep=times.sleep, now=lambda: NOW), close=exchange.close
    )


@pytest.fixture
def onestock(api: FaultyApi, times: FastTime) -> Iterator[OneStock]:
    client = client_of(settings_for(api), times)
    yield client
    client.close()


def error_of(onestock: OneStock) -> OneStockError:
    with pytest.raises(OneStockError) as caught:
        onestock.get_order("ORD-1")
    return caught.value


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


FAULTS: dict[str, tuple[Reply, type[OneStockError]]] = {
    "429": (BUSY, OneStockUnavailable),
    "500": (json_reply({"error": "internal", "message": "boom"}, 500, Request_Id="r-3"), OneStockUnavailable),
    "502 in HTML": (bytes_reply(b"<html>bad gateway</html>", 502), OneStockUnavailable),
    "cut before the headers": (cut_reply(b""), OneStockUnavailable),
    "cut in the headers": (cut_reply(b"HTTP/1.1 200 OK\r\nContent-Le"), OneStockUnavailable),
    "cut in the body": (cut_reply(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"id":'), OneStockUnavailable),
    "not HTTP": (cut_reply(b"SSH-2.0-OpenSSH\r\n"), OneStockUnavailable),
    "not JSON": (bytes_reply(b"<html>hello</html>"), OneStockUnreadable),
    "half of the JSON": (bytes_reply(b'{"id": "ORD-1", "cust', 200, "application/json"), OneStockUnreadable),
    "nested without end": (bytes_reply(b"[" * 100_000, 200, "application/json"), OneStockUnreadable),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_the_call_succeeds(api: FaultyApi, onestock: OneStock, fault: str) -> None:
    reply, _ = FAULTS[fault]
    api.on(ORDER, reply, reply, FOUND)

    assert onestock.get_order("ORD-1").state == "packed"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_the_documented_error(
    api: FaultyApi, onestock: OneStock, times: FastTime, fault: str
) -> None:
    reply, kind = FAULTS[fault]
    api.on(ORDER, reply)

    error = error_of(onestock)

    assert type(error) is kind
    assert error.is_worth_retrying
    assert (error.attempts, times.pauses) == (5, [1, 2, 4, 8])
    assert str(error).startswith(f"OneStock, GET {ORDER}: ")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, OneStockRefused), (403, OneStockRefused), (404, OneStockNotFound), (302, OneStockRefused)],
)
def test_a_refusal_is_not_repeated(api: FaultyApi, onestock: OneStock, status: int, kind: type[OneStockError]) -> None:
    api.on(ORDER, json_reply({"error": "no", "message": "not today"}, status, Request_Id="r-4", Location="/elsewhere"))

    error = error_of(onestock)

    assert type(error) is kind
    assert str(error) == f"OneStock, GET {ORDER}: {status} no: not today (Request-Id r-4)"
    assert api.paths().count(ORDER) == 1


@pytest.mark.parametrize("content", [{"order": []}, [], {"id": "ORD-1", "parcels": [{"state": "dispatched"}]}, "text"])
def test_json_of_another_shape_names_the_field_and_no_value(
    api: FaultyApi, onestock: OneStock, content: object
) -> None:
    api.on(ORDER, json_reply(content))

    error = error_of(onestock)

    assert type(error) is OneStockUnreadable
    assert "does not fit Order" in str(error)
    assert "dispatched" not in str(error)


SLOW_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n" + b" " * 400


@pytest.mark.parametrize("dripping", [True, False], ids=["a byte now and then", "nothing at all"])
def test_a_slow_server_never_holds_a_call_beyond_its_budget(api: FaultyApi, *, dripping: bool) -> None:
    onestock = OneStock.connected(settings_for(api, ONESTOCK_API_BUDGET_SECONDS="2"))
    slow = dripping_reply(SLOW_ANSWER, api=api, every_seconds=0.02)
    api.on(ORDER, slow if dripping else late_reply(FOUND, api=api, seconds=30))
    started = time.monotonic()

    error = error_of(onestock)
    onestock.close()

    assert time.monotonic() - started < 2.2
    assert isinstance(error, OneStockUnavailable)
    assert "no complete answer in time" in str(error)
    assert api.paths().count(ORDER) == 2


def test_a_handshake_that_never_ends_ends_with_the_budget(api: FaultyApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        onestock = OneStock.connected(settings_for(api, ONESTOCK_API_URL=url, ONESTOCK_API_BUDGET_SECONDS="1"))
        started = time.monotonic()
        error = error_of(onestock)
        onestock.close()

    assert time.monotonic() - started < 1.2
    assert isinstance(error, OneStockUnavailable)
    assert not error.may_have_happened


def test_a_server_that_is_not_there_is_an_error_within_the_budget(api: FaultyApi, times: FastTime) -> None:
    settings = settings_for(api, ONESTOCK_API_URL="http://127.0.0.1:1")
    onestock = client_of(settings, times)

    error = error_of(onestock)
    onestock.close()

    assert isinstance(error, OneStockUnavailable)
    assert not error.may_have_happened
    assert "no connection" in str(error)


def test_no_secret_is_in_any_error_repr_or_log(
    api: FaultyApi, times: FastTime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = json_reply({"error": "bad", "message": f"token {TOKEN}, {json.dumps(PASSWORD)}, {PASSWORD}"}, 500)
    settings = settings_for(api)
    onestock = client_of(settings, times)
    api.on("/v2/login", json_reply({"error": "bad", "message": PASSWORD}, 500), json_reply({"token": TOKEN}))
    api.on(ORDER, echo)
    api.on("/webhooks", json_reply({"error": "bad", "message": "test-hash-key is too short"}, 400))

    error = error_of(onestock)
    with pytest.raises(OneStockRefused) as refused:
        onestock.create_webhook("order_state_changed", "https://r.example", hash_key=SecretStr("test-hash-key"))
    onestock.close()

    assert "asked again in" in caplog.text
    shown = [
        repr(error),
        str(error),
        repr(settings),
        repr(onestock),
        str(refused.value),
        repr(refused.value),
        caplog.text,
    ]
    secrets = (PASSWORD, json.dumps(PASSWORD)[1:-1], TOKEN, "test-hash-key")
    assert not [secret for secret in secrets for text in shown if secret in text]


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
