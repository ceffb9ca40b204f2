"""The simulated webhooks do what docs/onestock.md says of OneStock's; each test names its fact."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest

from relay.errors import SignatureError
from relay.local.serving import serving
from relay.local.simulator import AlertKind, Attempt, Schedule, SimulatedTime, Status, WebhookQueue
from relay.receiver.signature import HEADER, verify
from relay.settings.receiver import SignedString
from tests.support.waiting import wait_until

TIME_SCALE = 0.0005


@dataclass
class Endpoint:
    """Answers with the given statuses in turn, and with the last of them from then on."""

    statuses: list[int] = field(default_factory=lambda: [202])
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    running.open.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            running.arrivals.append(time.monotonic())
            running.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            running.signatures.append(self.headers[HEADER])
            running.open.wait(10)
            statuses = running.statuses
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with serving(Handler) as running.url:
        yield running
        running.open.set()


@dataclass
class Made:
    """Makes webhooks that end with the test."""

    endpoint: Endpoint
    attempts: list[Attempt] = field(default_factory=list)
    queues: list[WebhookQueue] = field(default_factory=list)

    def webhook(self, schedule: Schedule | None = None, *, scale: float = TIME_SCALE) -> WebhookQueue:
        queue = WebhookQueue(
            id_="WH-1",
            url=self.endpoint.url,
            event_types=["order_state_changed"],
            keys=[b"key-1"],
            schedule=schedule or Schedule(),
            time=SimulatedTime(scale),
            report=self.attempts.append,
        )
        self.queues.append(queue)
        return queue


@pytest.fixture
def made(endpoint: Endpoint) -> Iterator[Made]:
    making = Made(endpoint)
    yield making
    for queue in making.queues:
        queue.close()


def put(webhook: WebhookQueue, *bodies: bytes) -> None:
    for body in bodies:
        webhook.put("order_state_changed", body)


def settled(webhook: WebhookQueue) -> None:
    wait_until(lambda: webhook.is_idle, every=0.005)


def kinds(webhook: WebhookQueue) -> list[AlertKind]:
    return [alert.kind for alert in webhook.alerts]


def test_messages_are_sent_one_after_another_d3(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook()
    bodies = [str(number).encode() for number in range(20)]

    put(webhook, *bodies)

    settled(webhook)
    assert endpoint.bodies == bodies


def test_only_a_202_is_an_acknowledgement_and_the_rest_waits_behind_d1_d3(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook()
    endpoint.statuses = [503, 200, 202]

    put(webhook, b"first", b"second")

    settled(webhook)
    assert endpoint.bodies == [b"first", b"first", b"first", b"second"]
    assert (webhook.status, webhook.alerts) == (Status.ENABLED, [])


def test_an_answer_that_comes_too_late_is_none_d1_d11(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook(Schedule(answer_seconds=0.1))
    endpoint.open.clear()

    put(webhook, b"first")
    wait_until(lambda: made.attempts)
    endpoint.open.set()

    settled(webhook)
    assert made.attempts[0].status is None
    assert endpoint.bodies[:2] == [b"first", b"first"]


def test_retries_follow_the_schedule_d4(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook(scale=0.001)
    endpoint.statuses = [500, 500, 500, 500, 500, 500, 202]

    put(webhook, b"first")

    settled(webhook)
    pauses = [later - earlier for earlier, later in zip(endpoint.arrivals, endpoint.arrivals[1:], strict=False)]
    late = [pause - seconds / 1000 for pause, seconds in zip(pauses, (30, 60, 120, 240, 480, 840), strict=True)]
    assert all(0 <= seconds < 1 for seconds in late), late


def test_the_third_failure_alerts_and_success_counts_anew_d5(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook()
    endpoint.statuses = [503, 503, 503, 202, 503, 503, 202]

    put(webhook, b"first", b"second")

    settled(webhook)
    assert kinds(webhook) == [AlertKind.ON_FAILURE, AlertKind.ON_FAILURE_RECOVERED]


def test_after_the_last_retry_the_webhook_is_disabled_d6_d8(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook()
    endpoint.statuses = [500]
    put(webhook, b"first", b"second")

    wait_until(lambda: webhook.status is Status.DISABLED)
    put(webhook, b"third")

    assert [attempt.number for attempt in made.attempts] == [1, 2, 3, 4, 5, 6, 7]
    assert kinds(webhook) == [AlertKind.ON_FAILURE, AlertKind.ON_DEACTIVATION]
    assert [message.body for message in webhook.lost] == [b"first", b"second", b"third"]


def test_an_enabled_webhook_sends_what_comes_from_then_on_d8(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook()
    webhook.set_status(Status.DISABLED)
    put(webhook, b"lost")

    webhook.set_status(Status.ENABLED)
    put(webhook, b"sent")

    settled(webhook)
    assert endpoint.bodies == [b"sent"]


def test_what_was_stored_may_outlive_the_disabling_d9(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook(Schedule(keeps_queue_when_disabled=True))
    webhook.set_status(Status.PAUSED)
    put(webhook, b"stored")
    webhook.set_status(Status.DISABLED)
    put(webhook, b"lost")

    webhook.set_status(Status.ENABLED)

    settled(webhook)
    assert endpoint.bodies == [b"stored"]


def test_a_webhook_is_paused_while_a_message_is_retried_d7(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook(scale=0.01)
    endpoint.statuses = [503, 202]

    put(webhook, b"first", b"second")

    wait_until(lambda: webhook.status is Status.PAUSED, every=0.005)
    assert webhook.waiting == 2
    settled(webhook)
    assert webhook.status is Status.ENABLED


def test_a_paused_webhook_stores_d7(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook()
    webhook.set_status(Status.PAUSED)

    put(webhook, b"first", b"second")
    assert (webhook.waiting, endpoint.bodies) == (2, [])
    webhook.set_status(Status.ENABLED)

    settled(webhook)
    assert endpoint.bodies == [b"first", b"second"]


def test_what_is_not_delivered_within_a_week_is_lost_d10(made: Made) -> None:
    webhook = made.webhook(scale=1e-6)
    webhook.set_status(Status.PAUSED)

    put(webhook, b"first")

    wait_until(lambda: webhook.is_idle)
    assert [message.body for message in webhook.lost] == [b"first"]


def signed_by(header: str, key: bytes, body: bytes = b"first") -> bool:
    try:
        verify(
            header,
            body,
            keys=[key],
            signed_string=SignedString.TIMESTAMP_BODY,
            tolerance_seconds=60,
            now=time.time(),
        )
    except SignatureError:
        return False
    return True


def test_every_live_key_signs_every_message_s1(made: Made, endpoint: Endpoint) -> None:
    webhook = made.webhook()
    for key in (b"key-2", b"key-3", b"key-4"):
        webhook.rotate_key(key)

    put(webhook, b"first")

    settled(webhook)
    assert [signed_by(endpoint.signatures[0], b"key-%d" % number) for number in (1, 2, 3, 4)] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("separator", [".", ","])
def test_both_separators_are_had_s2(made: Made, endpoint: Endpoint, separator: str) -> None:
    webhook = made.webhook(Schedule(separator=separator))

    put(webhook, b"first")

    settled(webhook)
    assert f"{separator}h0=" in endpoint.signatures[0]
    assert signed_by(endpoint.signatures[0], b"key-1")


@pytest.mark.parametrize("anew", [True, False])
def test_a_retry_is_signed_anew_or_not_s5(made: Made, endpoint: Endpoint, *, anew: bool) -> None:
    webhook = made.webhook(Schedule(signs_retries_anew=anew), scale=0.04)
    endpoint.statuses = [503, 202]

    put(webhook, b"first")

    settled(webhook)
    assert (endpoint.signatures[0] != endpoint.signatures[1]) is anew
