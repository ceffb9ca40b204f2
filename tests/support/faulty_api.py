"""A server in OneStock's place whose every answer the test chooses: slow, cut, refused, garbled."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from relay.local.serving import serving

Reply = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    override: str | None
    content: dict[str, Any]


@dataclass
class FaultyApi:
    """Answers each path with its replies in turn, and with the last of them from then on."""

    url: str = ""
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    ended_tokens: set[str] = field(default_factory=set)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, path: str, *replies: Reply) -> None:
        self.replies[path] = list(replies)

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        content = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length", 0))))
        override = handler.headers.get("X-HTTP-Method-Override")
        with self.lock:
            self.asked.append(Asked(handler.command, handler.path, override, content))
            replies = self.replies[handler.path]
            is_refused = content.get("token") in self.ended_tokens
            reply = TOKEN_ENDED if is_refused else replies.pop(0) if len(replies) > 1 else replies[0]
        reply(handler)


def json_reply(content: Any, status: int = 200, **headers: str) -> Reply:
    return bytes_reply(json.dumps(content).encode(), status, "application/json", **headers)


def bytes_reply(body: bytes, status: int = 200, content_type: str = "text/html", **headers: str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **named}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


TOKEN_ENDED = json_reply({"error": "unauthorized", "message": "token expired"}, 401)


def cut_reply(sent: bytes) -> Reply:
    """Send this much and reset the connection."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(sent)
        # Linger 0: close with a reset, as a process that dies does.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        handler.close_connection = True

    return reply


def dripping_reply(sent: bytes, *, api: FaultyApi, every_seconds: float) -> Reply:
    """Send one byte after another, so that no single read ever waits long."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        for byte in sent:
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:
                return
            if api.closing.wait(every_seconds):
                return

    return reply


def late_reply(then: Reply, *, api: FaultyApi, seconds: float) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        if not api.closing.wait(seconds):
            then(handler)

    return reply


@contextmanager
def faulty_api() -> Iterator[FaultyApi]:
    api = FaultyApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

        def do_GET(self) -> None:
            api.answer(self)

        do_POST = do_PATCH = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with serving(Handler) as api.url:
        try:
            yield api
        finally:
            api.closing.set()


class FastTime:
    """A clock on which pauses take no time: they are noted, and the clock is put forward."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def clock(self) -> float:
        return time.monotonic() + sum(self.pauses)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
