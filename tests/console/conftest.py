"""A console on lines that a test makes, and a browser's session in it, without a server."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from relay.console.app import console_app
from relay.console.context import Console
from relay.console.guard import Guard
from relay.console.reading import Reading
from relay.investigation.entries import Entry
from relay.investigation.index import EventIndex
from relay.investigation.records import EventFilter

PORT = 8070
TOKEN = "test-start-up-token"  # noqa: S105 - a test's own
OUR_URL = f"http://127.0.0.1:{PORT}"
OURS = {"Origin": OUR_URL, "Sec-Fetch-Site": "same-origin"}


class GivenLines:
    """A source that holds these lines and gets no more."""

    look_seconds = 0.05

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = list(entries)

    def __str__(self) -> str:
        return "the test's lines"

    def backwards(self) -> Iterator[tuple[list[Entry], datetime | None]]:
        yield self._entries, None

    def newer(self) -> list[Entry]:
        return []

    def search(self, wanted: EventFilter) -> list[Entry] | None:
        """Hold nothing beside the window."""


def console_on(
    *entries: Entry, environ: Mapping[str, str] | None = None, allows_actions: bool = True, is_local: bool = True
) -> Console:
    """Return a console that has read `entries`."""
    reading = Reading(GivenLines(entries), EventIndex())
    reading.index.add(entries)
    reading.is_complete = True
    return Console(reading=reading, environ=environ or {}, allows_actions=allows_actions, is_local=is_local)


class Browser:
    """A browser that has opened the printed URL: it keeps the cookie, and sends with a form what browsers send."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client
        self.get(f"/open?token={TOKEN}")

    def get(self, path: str) -> TestResponse:
        return self._client.get(path, base_url=OUR_URL)

    def post(self, path: str, fields: Mapping[str, Any] | None = None, *, csrf: str | None = None) -> TestResponse:
        """Send a form with the session's token, or with `csrf`."""
        form = {"csrf": self.csrf if csrf is None else csrf, **(fields or {})}
        return self._client.post(path, base_url=OUR_URL, headers=OURS, data=form)

    @property
    def app(self) -> Flask:
        """The console's app."""
        app: Flask = self._client.application
        return app

    @property
    def csrf(self) -> str:
        """The session's token, which each page holds."""
        found = re.search(r'<meta name="csrf" content="(\w+)">', self.get("/").text)
        assert found
        return found[1]


def client_of(console: Console) -> FlaskClient:
    """Return a browser that has no session."""
    return console_app(console, Guard(port=PORT, token=TOKEN)).test_client()


def opened(console: Console) -> Browser:
    """Return a browser with a session."""
    return Browser(client_of(console))
