"""The customer's system for the local run and the tests: it takes what the worker hands over, and trusts no signature.

It does what "Standard Webhooks" asks of a consumer, with the specification's own library: verify, then take each
webhook-id once.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from relay.local.serving import serving

TAKEN, UNAUTHORIZED = 204, 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request whose signature is right."""

    webhook_id: str
    kind: str
    """refund, shipment, or an event type."""
    data: Mapping[str, Any]
    path: str
    is_repeated: bool
    """Whether something was taken under this webhook-id before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer."""

    status: int = TAKEN
    headers: Mapping[str, str] | None = None
    text: str = ""


class CustomerSystem:
    """Keeps what it was given; answers as it is told."""

    def __init__(
        self,
        secret: str,
        *,
        report: Callable[[Received], None] = lambda _: None,
        reply: Callable[[Received], Reply] = lambda _: Reply(),
    ) -> None:
        """`secret` is `whsec_...`; `report` is called for each request, `reply` decides its answer."""
        self._webhook = Webhook(secret)
        self._report = report
        self.reply = reply
        self._lock = threading.Lock()
        self._taken: dict[str, Received] = {}
        self.requests: list[Received] = []
        """All requests with a right signature, repeated ones included."""
        self.refused = 0
        """How many had none."""

    @property
    def taken(self) -> list[Received]:
        """What was answered with a 2xx, once for each webhook-id, in sequence."""
        with self._lock:
            return list(self._taken.values())

    def taken_of(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the data of what was taken of one kind, in sequence."""
        return [received.data for received in self.taken if received.kind == kind]

    @contextmanager
    def running(self, port: int = 0) -> Iterator[str]:
        """Serve on 127.0.0.1 while the block runs, and give the URL."""
        with serving(_handler_for(self.receive), port=port) as url:
            yield url

    def receive(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Take one request, and return what to answer."""
        try:
            content = self._webhook.verify(body, dict(headers))
        except WebhookVerificationError:
            with self._lock:
                self.refused += 1
            return Reply(status=UNAUTHORIZED)
        webhook_id = headers["webhook-id"]
        with self._lock:
            received = Received(
                webhook_id=webhook_id,
                kind=content["type"],
                data=content["data"],
                path=path,
                is_repeated=webhook_id in self._taken,
            )
            self.requests.append(received)
        reply = self.reply(received)
        with self._lock:
            if reply.status // 100 == 2 and not received.is_repeated:  # noqa: PLR2004 - 2xx
                self._taken[webhook_id] = received
        self._report(received)
        return reply


def _handler_for(receive: Callable[[str, Mapping[str, str], bytes], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receive(self.path, headers, body)
            text = reply.text.encode()
            self.send_response(reply.status)
            for name, value in (reply.headers or {}).items():
                self.send_header(name, value)
            if reply.status != TAKEN:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if reply.status != TAKEN:
                self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler
