"""OneStock's API client, against a server whose every answer the test chooses, on a clock that pauses put forward."""

from collections.abc import Iterator

import pytest

from relay.errors import OneStockError
from relay.onestock import OneStock
from relay.onestock.api import Api
from relay.onestock.http import NEVER, PooledExchange
from relay.settings.onestock import OneStockSettings
from tests.support.faulty_api import FastTime, FaultyApi, faulty_api, json_reply

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


def client_of(settings: OneStockSettings, times: FastTime, *, first_contact_seconds: float = NEVER) -> OneStock:
    exchange = PooledExchange()
    # The exchange counts in real time: what passed for the pauses is taken off its deadline.
    shifted = lambda *args, deadline, **kwargs: exchange(*args, deadline=deadline - sum(times.pauses), **kwargs)  # noqa: E731
    api = Api(
        settings,
        shifted,
        first_contact_seconds=first_contact_seconds,
        clock=times.clock,
        sleep=times.sleep,
        now=lambda: NOW,
    )
    return OneStock(settings, api, close=exchange.close)


@pytest.fixture
def onestock(api: FaultyApi, times: FastTime) -> Iterator[OneStock]:
    client = client_of(settings_for(api), times)
    yield client
    client.close()


def error_of(onestock: OneStock) -> OneStockError:
    with pytest.raises(OneStockError) as caught:
        onestock.get_order("ORD-1")
    return caught.value
