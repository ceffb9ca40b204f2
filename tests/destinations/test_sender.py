"""What a destination answers decides about the event; its Retry-After is kept, and it cannot hold us."""

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from relay import Reject, Retry
from relay.destinations.envelope import body_of, id_of, signed_headers
from relay.destinations.sender import Destination, Sender
from relay.local.customer import CustomerSystem, Reply
from relay.onestock.http import PooledExchange
from tests.destinations.conftest import SECRET

NOW = datetime.now(UTC)
BUDGET_SECONDS = 5
BODY = body_of("refund", timestamp=NOW, data={"order_id": "ORD-1"})


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sender(exchange: PooledExchange, clock: Clock) -> Sender:
    return Sender(exchange, budget_seconds=BUDGET_SECONDS, clock=clock)


@pytest.fixture
def destination(customer: CustomerSystem) -> Iterator[Destination]:
    with customer.running() as url:
        yield to(f"{url}/refunds?key=hidden")


def at_any_time(_: float) -> None:
    """Hold the claim for ever."""


def to(url: str) -> Destination:
    return Destination(name="refund", url=url, secrets=(SecretStr(SECRET),))


def test_what_is_sent_verifies_with_the_official_library(
    sender: Sender, customer: CustomerSystem, destination: Destination
) -> None:
    assert sender.send(destination, BODY, webhook_id=id_of("effect/refund/1"), check_claim=at_any_time) == 204

    [received] = customer.taken
    assert (received.kind, received.data, received.path) == ("refund", {"order_id": "ORD-1"}, "/refunds?key=hidden")
    assert received.webhook_id == id_of("effect/refund/1")
    assert customer.refused == 0


def test_while_a_secret_is_replaced_both_sign() -> None:
    other = "whsec_" + base64.b64encode(b"another secret made for tests").decode()
    secrets = [SecretStr(other), SecretStr(SECRET)]

    headers = signed_headers(BODY, webhook_id="id-1", secrets=secrets, timestamp=datetime.now(UTC))

    assert Webhook(SECRET).verify(BODY, headers) == Webhook(other).verify(BODY, headers)


def test_an_event_stays_as_it_was_byte_for_byte() -> None:
    raw = b'{"order_id" : "A-1",  "x": 1.10}'

    assert body_of("t", timestamp=NOW, data=raw).endswith(b'"data": ' + raw + b"}")


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 422])
def test_another_4xx_is_rejected_with_what_it_says(
    sender: Sender, customer: CustomerSystem, destination: Destination, status: int
) -> None:
    customer.reply = lambda _: Reply(status=status, text="unknown\norder")

    with pytest.raises(Reject, match=rf"the refund destination 127.0.0.1:\d+ answered {status}: unknown order") as told:
        sender.send(destination, BODY, webhook_id="id-1", check_claim=at_any_time)

    assert "hidden" not in str(told.value)


@pytest.mark.parametrize("status", [301, 307, 408, 425, 429, 500, 503])
def test_what_may_pass_is_retried_and_no_redirect_followed(
    sender: Sender, customer: CustomerSystem, destination: Destination, status: int
) -> None:
    customer.reply = lambda _: Reply(status=status, headers={"Location": "/elsewhere"})

    with pytest.raises(Retry, match=f"answered {status}"):
        sender.send(destination, BODY, webhook_id="id-1", check_claim=at_any_time)

    assert [request.path for request in customer.requests] == ["/refunds?key=hidden"]


@pytest.mark.parametrize("as_date", [False, True])
def test_nothing_is_sent_until_retry_after_has_passed(
    sender: Sender, customer: CustomerSystem, destination: Destination, clock: Clock, *, as_date: bool
) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True) if as_date else "120"
    customer.reply = lambda _: Reply(status=429, headers={"Retry-After": until})

    for told in ("answered 429", "asked for a pause"):
        with pytest.raises(Retry, match=told):
            sender.send(destination, BODY, webhook_id="id-1", check_claim=at_any_time)
    customer.reply = lambda _: Reply()
    clock.ahead = 121

    assert sender.send(destination, BODY, webhook_id="id-1", check_claim=at_any_time) == 204
    assert len(customer.requests) == 2


@pytest.mark.parametrize("value", ["", "soon", "-5", "Wed, 99 Foo 2026"])
def test_a_retry_after_that_says_nothing_closes_nothing(
    sender: Sender, customer: CustomerSystem, destination: Destination, value: str
) -> None:
    customer.reply = lambda _: Reply(status=503, headers={"Retry-After": value})

    for _ in range(2):
        with pytest.raises(Retry, match="answered 503"):
            sender.send(destination, BODY, webhook_id="id-1", check_claim=at_any_time)


def test_a_pause_is_an_hour_at_most(
    sender: Sender, customer: CustomerSystem, destination: Destination, clock: Clock
) -> None:
    customer.reply = lambda _: Reply(status=503, headers={"Retry-After": "9" * 30})
    with pytest.raises(Retry):
        sender.send(destination, BODY, webhook_id="id-1", check_claim=at_any_time)
    clock.ahead = 3_601

    customer.reply = lambda _: Reply()

    assert sender.send(destination, BODY, webhook_id="id-1", check_claim=at_any_time) == 204


@contextmanager
def dripping() -> Iterator[str]:
    """Answer with a byte now and then, without end."""
    server = socket.create_server(("127.0.0.1", 0))
    ending = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ending.wait(0.05):
                connection.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    ending.set()
    thread.join()
    server.close()


def test_a_server_that_drips_is_left_after_the_budget(exchange: PooledExchange) -> None:
    sender = Sender(exchange, budget_seconds=0.5)

    with dripping() as url:
        started = time.monotonic()
        with pytest.raises(Retry, match="gave no answer"):
            sender.send(to(url), BODY, webhook_id="id-1", check_claim=at_any_time)
        elapsed = time.monotonic() - started

    assert 0.5 <= elapsed < 2


def test_a_server_that_is_not_there_is_retried(sender: Sender) -> None:
    with pytest.raises(Retry, match="gave no answer: no connection"):
        sender.send(to("http://127.0.0.1:1/"), BODY, webhook_id="id-1", check_claim=at_any_time)


def test_the_claim_is_asked_for_the_time_that_the_request_may_take(
    sender: Sender, destination: Destination, customer: CustomerSystem
) -> None:
    asked: list[float] = []

    sender.send(destination, BODY, webhook_id="id-1", check_claim=asked.append)

    assert asked == [BUDGET_SECONDS]
    assert len(customer.requests) == 1


def test_a_worker_that_freezes_before_its_request_leaves_sends_nothing(
    exchange: PooledExchange, destination: Destination, customer: CustomerSystem
) -> None:
    def freeze(for_seconds: float) -> None:
        time.sleep(2 * for_seconds)

    with pytest.raises(Retry, match="gave no answer"):
        Sender(exchange, budget_seconds=0.2).send(destination, BODY, webhook_id="id-1", check_claim=freeze)

    assert customer.requests == []
