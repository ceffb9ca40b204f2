"""Whatever OneStock's server does, a call ends in time: with the answer, or with an error that tells what happened."""

import json
import logging
import socket
import ssl
import time
from contextlib import closing

import pytest
from pydantic import SecretStr

from relay.errors import (
    OneStockError,
    OneStockNotFound,
    OneStockRefused,
    OneStockUnavailable,
    OneStockUnreachable,
    OneStockUnreadable,
)
from relay.onestock import OneStock
from relay.onestock.api import Api
from relay.onestock.http import Answer, NoAnswer, NoConnection, PooledExchange
from tests.onestock.conftest import BUSY, FOUND, ORDER, PASSWORD, TOKEN, client_of, error_of, settings_for
from tests.support.faulty_api import (
    FastTime,
    FaultyApi,
    Reply,
    bytes_reply,
    cut_reply,
    dripping_reply,
    json_reply,
    late_reply,
)

SPARE_SECONDS = 1  # That a busy machine may take to go on.

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

    assert time.monotonic() - started < 2 + SPARE_SECONDS
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

    assert time.monotonic() - started < 1 + SPARE_SECONDS
    assert isinstance(error, OneStockUnavailable)
    assert not error.may_have_happened


def test_a_deadline_that_passes_before_the_handshake_leaves_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def late_certificates() -> ssl.SSLContext:
        time.sleep(0.3)
        return ssl.create_default_context()

    monkeypatch.setattr("httpcore._sync.connection.default_ssl_context", late_certificates)
    with socket.create_server(("127.0.0.1", 0)) as silent, closing(PooledExchange()) as exchange:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NoAnswer, match="the deadline has passed") as caught:
            exchange("GET", url, headers={}, body=b"", deadline=time.monotonic() + 0.2)
        with silent.accept()[0] as connection:
            connection.settimeout(1)
            assert connection.recv(1) == b""

    assert not caught.value.may_have_arrived


def test_a_server_that_is_not_there_is_an_error_within_the_budget(api: FaultyApi, times: FastTime) -> None:
    settings = settings_for(api, ONESTOCK_API_URL="http://127.0.0.1:1")
    onestock = client_of(settings, times)

    error = error_of(onestock)
    onestock.close()

    assert isinstance(error, OneStockUnreachable)
    assert not error.may_have_happened
    assert (error.attempts, times.pauses) == (5, [1, 2, 4, 8])
    assert "no connection to http://127.0.0.1:1 (ONESTOCK_API_URL): connection refused" in str(error)


def test_a_person_waits_for_two_attempts_where_nobody_ever_answered(api: FaultyApi, times: FastTime) -> None:
    settings = settings_for(api, ONESTOCK_API_URL="http://127.0.0.1:1")
    onestock = client_of(settings, times, first_contact_seconds=3)

    error = error_of(onestock)
    onestock.close()

    assert (error.attempts, times.pauses) == (2, [1])


def test_an_api_that_has_answered_gets_the_whole_budget_back(api: FaultyApi, times: FastTime) -> None:
    answers = [json.dumps({"token": TOKEN}), json.dumps({"id": "ORD-1"})]

    def exchange(*_: object, **__: object) -> Answer:
        if not answers:
            raise NoConnection("connection refused")
        return Answer(status=200, headers={}, body=answers.pop(0).encode())

    settings = settings_for(api)
    onestock = OneStock(
        settings, Api(settings, exchange, first_contact_seconds=3, clock=times.clock, sleep=times.sleep)
    )
    onestock.get_order("ORD-1")

    error = error_of(onestock)

    assert isinstance(error, OneStockUnreachable)
    assert (error.attempts, times.pauses) == (5, [1, 2, 4, 8])


def test_a_busy_api_is_no_missing_one(api: FaultyApi, times: FastTime) -> None:
    api.on(ORDER, BUSY)
    onestock = client_of(settings_for(api), times, first_contact_seconds=3)

    error = error_of(onestock)
    onestock.close()

    assert error.attempts == 5


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
