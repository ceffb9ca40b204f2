"""The simulated OneStock as a server on loopback: its API over HTTP, with faults on demand."""

import json
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import unquote

from relay.local.serving import serving
from relay.local.simulator.api import PASSWORD, SITE_ID, USER_ID, ApiOptions, SimulatedApi
from relay.local.simulator.site import TOKEN_SECONDS, Site
from relay.local.simulator.times import SimulatedTime
from relay.local.simulator.webhooks import Attempt, Schedule


@dataclass(frozen=True, slots=True)
class _Fault:
    status: HTTPStatus
    path: str
    headers: Mapping[str, str]


class Simulator:
    """A running OneStock: `site` holds its orders and webhooks, `url` is its API. `Simulator.start` makes it."""

    def __init__(self, site: Site, options: ApiOptions, *, max_calls_per_second: float | None) -> None:
        self.site = site
        self.url = ""
        self.calls: Counter[str] = Counter()
        """How many requests came, by method and path, including the ones that were refused."""
        self._api = SimulatedApi(site, options)
        self._max_calls_per_second = max_calls_per_second
        self._latest: deque[float] = deque()
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def start(
        cls,
        *,
        port: int = 0,
        time_scale: float = 1.0,
        schedule: Schedule = Schedule(),  # noqa: B008 - it cannot change
        options: ApiOptions = ApiOptions(),  # noqa: B008 - it cannot change
        token_seconds: float = TOKEN_SECONDS,
        max_calls_per_second: float | None = None,
        report: Callable[[Attempt], None] = lambda _: None,
    ) -> Iterator[Self]:
        """Run a OneStock on 127.0.0.1; port 0 takes a free one.

        It answers 429 to more than `max_calls_per_second` calls in a real second.
        """
        site = Site(time=SimulatedTime(time_scale), schedule=schedule, report=report, token_seconds=token_seconds)
        simulator = cls(site, options, max_calls_per_second=max_calls_per_second)
        try:
            with serving(_handler_of(simulator), port=port) as simulator.url:
                yield simulator
        finally:
            site.close()

    @property
    def environ(self) -> dict[str, str]:
        """The settings with which a client calls this OneStock."""
        return {
            "ONESTOCK_API_URL": self.url,
            "ONESTOCK_SITE_ID": SITE_ID,
            "ONESTOCK_USER_ID": USER_ID,
            "ONESTOCK_PASSWORD": PASSWORD,
        }

    def fail(self, status: int, *, path: str = "", times: int = 1, retry_after: str | None = None) -> None:
        """Answer the next `times` requests whose path begins with `path` with this status."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        with self._lock:
            self._faults += [_Fault(HTTPStatus(status), path, headers)] * times

    def answer(self, method: str, path: str, content: Any) -> tuple[HTTPStatus, Any, Mapping[str, str]]:
        """Return status, content and headers of the answer to one request."""
        with self._lock:
            self.calls[f"{method} {path}"] += 1
            fault = self._fault_for(path)
            if fault is not None:
                self._faults.remove(fault)
            elif self._is_too_fast():
                fault = _Fault(HTTPStatus.TOO_MANY_REQUESTS, path, {})
        if fault is not None:
            return fault.status, {"error": "simulated", "message": fault.status.phrase}, fault.headers
        if not isinstance(content, dict):
            return HTTPStatus.BAD_REQUEST, {"error": "bad_request", "message": "the body is no JSON object"}, {}
        return *self._api.answer(method, path, content), {}

    def _fault_for(self, path: str) -> _Fault | None:
        return next((fault for fault in self._faults if path.startswith(fault.path)), None)

    def _is_too_fast(self) -> bool:
        if self._max_calls_per_second is None:
            return False
        now = time.monotonic()
        while self._latest and self._latest[0] <= now - 1:
            self._latest.popleft()
        if len(self._latest) >= self._max_calls_per_second:
            return True
        self._latest.append(now)
        return False


def _handler_of(simulator: Simulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # Headers and body leave in one segment: else Nagle's algorithm and a late ACK cost 40 ms.

        def do_GET(self) -> None:
            method = self.headers.get("X-HTTP-Method-Override", self.command)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content, headers = simulator.answer(method, unquote(self.path), _json_of(body))
            sent = json.dumps(content).encode()
            self.send_response(status)
            named = {"Content-Type": "application/json", "Request-Id": uuid.uuid4().hex, **headers}
            for name, value in {**named, "Content-Length": str(len(sent))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        do_POST = do_PATCH = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler


def _json_of(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
