"""An HTTP server on loopback that answers with JSON."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from relay.local.serving import serving as serving_on_loopback


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent; `path` has the query too."""

    method: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client gets under a status: bytes as they are, everything else as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def serving(answer: Callable[[str, bytes], Any]) -> Iterator[str]:
    """Give the server's URL; every request is answered with what `answer` makes of its path and body."""
    with serving_requests(lambda request: Reply(answer(request.path, request.body))) as url:
        yield url


@contextmanager
def serving_requests(answer: Callable[[Request], Reply], *, port: int = 0) -> Iterator[str]:
    """Give the server's URL; every request is answered with what `answer` makes of it. Port 0 is any free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = answer(Request(self.command, self.path, body))
            sent = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(sent)))
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with serving_on_loopback(Handler, port=port) as url:
        yield url
