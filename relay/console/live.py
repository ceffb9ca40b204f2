"""Server-sent events: tells a page that something changed. The page then asks for what it shows.

Format: "Server-sent events" (HTML, WHATWG).
"""

import time
from collections.abc import Iterator
from http import HTTPStatus

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from relay.console.context import MAX_STREAMS, console
from relay.investigation.index import EventIndex

LEAST_PAUSE_SECONDS = 0.25
HEARTBEAT_SECONDS = 1.0  # So long a page that was left keeps its stream: another one may need it.

pages = Blueprint("live", __name__)


@pages.get("/live")
def live() -> ResponseReturnValue:
    """Tell of each change, four times a second at most."""
    streams = console().streams
    if not streams.acquire(blocking=False):
        text = f"{MAX_STREAMS} pages are live already; close one, or load this page again for what is new\n"
        return Response(text, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "30"}, content_type="text/plain")
    answer = Response(_changes(console().reading.index), content_type="text/event-stream")
    answer.call_on_close(streams.release)
    return answer


def _changes(index: EventIndex) -> Iterator[str]:
    version = index.version
    yield "retry: 1000\n\n"
    while True:
        changed = index.wait_for_change(version, timeout_seconds=HEARTBEAT_SECONDS)
        # The heartbeat finds out that the page is gone.
        yield f"event: changed\ndata: {changed}\n\n" if changed > version else ": here\n\n"
        version = changed
        time.sleep(LEAST_PAUSE_SECONDS)
