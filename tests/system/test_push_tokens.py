"""A fresh worker without the issuer's certificates checks tokens a moment after it can have them."""

import time
from collections.abc import Iterator

import pytest

from tests.support.parts import Service, order_event
from tests.support.pushes import push_with, sent_by_onestock
from tests.support.serving import Reply, serving_requests
from tests.support.token_issuer import AUDIENCE, EMAIL, KEY_ID, TokenIssuer
from tests.support.waiting import wait_until

EVENT = sent_by_onestock(order_event("T-1"))
SOON_SECONDS = 5


class Issuer(TokenIssuer):
    """Publishes its certificates unless it is down."""

    is_down = True

    def answer(self, _: object) -> Reply:
        return Reply({}, status=503) if self.is_down else Reply({KEY_ID: self.certificate})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    with serving_requests(issuer.answer) as issuer.url:
        yield issuer


@pytest.fixture
def settings(settings: dict[str, str], issuer: Issuer) -> dict[str, str]:
    oidc = {"PUSH_AUTH": "oidc", "PUSH_AUDIENCE": AUDIENCE, "PUSH_SERVICE_ACCOUNT": EMAIL}
    return {**settings, **oidc, "PUSH_CERTIFICATES_URL": issuer.url}


def test_one_failed_fetch_does_not_close_a_fresh_worker_for_a_minute(worker: Service, issuer: Issuer) -> None:
    headers = {"Authorization": f"Bearer {issuer.token()}"}
    at_first = push_with(worker, EVENT, headers)
    issuer.is_down = False
    came_back_at = time.monotonic()

    wait_until(lambda: push_with(worker, EVENT, headers) == 204, within=SOON_SECONDS)

    assert at_first == 503
    assert time.monotonic() - came_back_at < SOON_SECONDS
