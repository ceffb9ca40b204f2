"""The simulated OneStock behaves as "Webhook configuration" says: retries, pauses, alerts, disables."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from relay.local.simulator import Attempt, Status, Webhook
from tests.wait import wait_until

TIME_SCALE = 0.0005


class Endpoint:
    """Answers with the given statuses in turn, and with the last of them from then on."""

    def __init__(self) -> None:
        self.statuses = [202]
        self.bodies: list[bytes] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                statuses = endpoint.statuses
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def attempts() -> list[Attempt]:
    return []


@pytest.fixture
def webhook(endpoint: Endpoint, attempts: list[Attempt]) -> Iterator[Webhook]:
    url = f"http://127.0.0.1:{endpoint.server.server_port}/"
    sender = Webhook("order_state_changed", url, keys=(b"key",), report=attempts.append, time_scale=TIME_SCALE)
    yield sender
    sender.close()


def test_messages_are_sent_one_after_another(webhook: Webhook, endpoint: Endpoint) -> None:
    bodies = [str(number).encode() for number in range(20)]

    for body in bodies:
        webhook.put(body)

    wait_until(lambda: webhook.is_idle, within=10)
    assert endpoint.bodies == bodies


def test_what_is_not_a_202_holds_up_everything_behind_it(webhook: Webhook, endpoint: Endpoint) -> None:
    endpoint.statuses = [503, 200, 202]

    webhook.put(b"first")
    webhook.put(b"second")

    wait_until(lambda: webhook.is_idle, within=10)
    assert endpoint.bodies == [b"first", b"first", b"first", b"second"]
    assert (webhook.status, webhook.alerts) == (Status.ENABLED, 0)


def test_the_third_failed_attempt_alerts(webhook: Webhook, endpoint: Endpoint) -> None:
    endpoint.statuses = [503, 503, 503, 202]

    webhook.put(b"first")

    wait_until(lambda: webhook.is_idle, within=10)
    assert (webhook.status, webhook.alerts) == (Status.ENABLED, 1)


def test_after_the_last_retry_the_webhook_is_disabled(
    webhook: Webhook, endpoint: Endpoint, attempts: list[Attempt]
) -> None:
    endpoint.statuses = [500]
    webhook.put(b"first")
    webhook.put(b"second")

    wait_until(lambda: webhook.status is Status.DISABLED, within=20)
    wait_until(lambda: webhook.is_idle, within=5)
    webhook.put(b"third")

    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4, 5, 6, 7]
    assert webhook.dropped == 3
