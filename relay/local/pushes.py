"""Between the emulator and the worker: each push goes through here, as Pub/Sub itself would make it.

The emulator ends its push thread when a message of an ordered subscription has used up its delivery attempts: it is
`MessageBacklog.pull` that fails on a publisher it was never given. So the local subscription has no dead-letter policy,
and the gate counts the attempts, forwards to the dead-letter topic, and tells the worker the attempt's number. It also
holds pushes while the worker is replaced, and knows when pushes no longer come.
"""

import base64
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

import requests

from relay.errors import PublishError
from relay.events import Delivery
from relay.local.serving import serving
from relay.message import Attribute, Message
from relay.pubsub.publisher import Publisher

HOLD_SECONDS = 20
"""How long a push waits for a worker; the emulator then pushes it again."""
ANSWER_SECONDS = 600
REMEMBERED = 1_000
PUBLISH_BUDGET_SECONDS = 10
_ACKS = frozenset({102, 200, 201, 202, 204})
_UNAVAILABLE = int(HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(slots=True, eq=False)
class Pushed:
    """A message that the emulator pushed at least once."""

    message: Message
    message_id: str
    published_at: datetime
    attempts: int = 0
    """How many ended with a nack."""

    @property
    def delivery(self) -> Delivery:
        """The event in it."""
        return self.message.to_delivery(
            message_id=self.message_id,
            published_at=self.published_at,
            delivery_attempt=self.attempts,
            max_body_bytes=32_000_000,
        )


@dataclass(slots=True)
class _Flow:
    """What is awaited of the emulator: message ids, each since when (monotonic seconds)."""

    awaited: dict[str, float] = field(default_factory=dict)
    under_way: int = 0
    last_push_at: float = 0.0
    is_paused: bool = False


class PushGate:
    """Takes pushes on one port and hands them to the worker in charge; safe for any number of threads."""

    def __init__(
        self,
        *,
        dead_letters: Publisher,
        subscription: str,
        max_delivery_attempts: int,
        gave_up: Callable[[Delivery], None] = lambda _: None,
    ) -> None:
        """`gave_up` is told of each message that went to the dead letters; `subscription` is named in them."""
        self._dead_letters = dead_letters
        self._subscription = subscription
        self._max_delivery_attempts = max_delivery_attempts
        self._gave_up = gave_up
        self._worker: str | None = None
        self._changed = threading.Condition()
        self._pushed: OrderedDict[str, Pushed] = OrderedDict()
        self._flow = _Flow()

    @contextmanager
    def open(self, port: int) -> Iterator[str]:
        """Take pushes on 127.0.0.1 while the block runs, and give the URL."""
        with serving(_handler_of(self), port=port) as url:
            try:
                yield url
            finally:
                self.lead_to(None)

    def lead_to(self, worker: str | None) -> None:
        """Put the worker at this URL in charge; None holds what is pushed from here on."""
        with self._changed:
            self._worker = worker
            self._changed.notify_all()

    def expect(self, message_id: str) -> None:
        """Note that Pub/Sub has confirmed a message, so that the emulator owes a push of it."""
        with self._changed:
            if message_id not in self._pushed:
                self._flow.awaited[message_id] = time.monotonic()

    def note_pause(self, *, is_paused: bool) -> None:
        """Note that somebody has paused the pushes or let them go on: nothing is owed in between."""
        with self._changed:
            self._flow.is_paused = is_paused
            self._flow.last_push_at = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """How long the emulator has pushed nothing at all although it owes something."""
        with self._changed:
            flow = self._flow
            if flow.under_way or flow.is_paused or not flow.awaited:
                return 0.0
            return time.monotonic() - max(flow.last_push_at, min(flow.awaited.values()))

    def pushed(self, event_id: str) -> Pushed | None:
        """Return the latest message of the event whose id begins so, None if there is none in memory."""
        with self._changed:
            return next(
                (one for one in reversed(self._pushed.values()) if one.delivery.event_id.startswith(event_id)), None
            )

    def push(self, body: bytes, headers: dict[str, str]) -> int:
        """Hand one push to the worker, and return the status for the emulator."""
        envelope = json.loads(body)
        one = self._noted(envelope["message"])
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._worker is not None, HOLD_SECONDS)
                worker = self._worker
            if worker is None:
                return self._nacked(one)
            return self._handed_over(one, envelope, worker, headers)
        finally:
            with self._changed:
                self._flow.under_way -= 1
                self._flow.last_push_at = time.monotonic()

    def ask_worker(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
        """Return status, body and content type of the worker's answer to any other request; 503 if none answers."""
        try:
            answer = requests.request(method, f"{self._worker}{path}", data=body, headers=headers, timeout=10)
        except requests.RequestException:
            return _UNAVAILABLE, b"", ""
        return answer.status_code, answer.content, answer.headers.get("Content-Type", "")

    def _noted(self, content: dict[str, Any]) -> Pushed:
        message_id = content["messageId"]
        with self._changed:
            self._flow.under_way += 1
            self._flow.awaited.pop(message_id, None)
            one = self._pushed.get(message_id)
            if one is None:
                message = Message(
                    data=base64.b64decode(content.get("data", "")), attributes=content.get("attributes", {})
                )
                published_at = datetime.fromisoformat(content["publishTime"]).astimezone(UTC)
                one = self._pushed[message_id] = Pushed(message, message_id, published_at)
                if len(self._pushed) > REMEMBERED:
                    self._pushed.popitem(last=False)
            return one

    def _handed_over(self, one: Pushed, envelope: dict[str, Any], worker: str, headers: dict[str, str]) -> int:
        numbered = {**envelope, "deliveryAttempt": one.attempts + 1}
        try:
            answer = requests.post(f"{worker}/pubsub/push", json=numbered, headers=headers, timeout=ANSWER_SECONDS)
        except requests.RequestException:
            # The worker was replaced or was killed meanwhile. Nobody judged the event: the attempt does not count.
            return self._nacked(one)
        if answer.status_code in _ACKS:
            return answer.status_code
        one.attempts += 1
        if one.attempts >= self._max_delivery_attempts and self._forwarded(one):
            return int(HTTPStatus.NO_CONTENT)
        return self._nacked(one)

    def _nacked(self, one: Pushed) -> int:
        with self._changed:
            self._flow.awaited[one.message_id] = time.monotonic()
        return _UNAVAILABLE

    def _forwarded(self, one: Pushed) -> bool:
        """Copy the message to the dead-letter topic, with the attributes that Pub/Sub adds when it gives up."""
        given_up = {
            Attribute.GIVEN_UP_ATTEMPTS: str(one.attempts),
            "CloudPubSubDeadLetterSourceSubscription": self._subscription,
            "CloudPubSubDeadLetterSourceTopicPublishTime": one.published_at.isoformat(timespec="milliseconds"),
        }
        dead = Message(data=one.message.data, attributes={**one.message.attributes, **given_up})
        try:
            self._dead_letters.publish(dead, budget_seconds=PUBLISH_BUDGET_SECONDS)
        except PublishError:
            return False
        self._gave_up(one.delivery)
        return True


def _handler_of(gate: PushGate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/pubsub/push":
                self._reply(gate.push(body, self._kept_headers()))
            else:
                self._pass_on(body)

        def do_GET(self) -> None:
            self._pass_on(b"")

        def _kept_headers(self) -> dict[str, str]:
            return {"Authorization": self.headers["Authorization"]} if "Authorization" in self.headers else {}

        def _pass_on(self, body: bytes) -> None:
            self._reply(*gate.ask_worker(self.command, self.path, body, self._kept_headers()))

        def _reply(self, status: int, content: bytes = b"", content_type: str = "") -> None:
            self.send_response(status)
            if content_type:
                self.send_header("Content-Type", content_type)
            if status != HTTPStatus.NO_CONTENT:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler
