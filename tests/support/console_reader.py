"""The reader of a running console: what a browser asks for and sends on the screen Dead letters, over HTTP."""

import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import Any

import requests

from tests.support.running_console import RunningConsole
from tests.support.waiting import wait_until


class ConsoleReader:
    """A session in one console."""

    def __init__(self, console: RunningConsole) -> None:
        self.console = console
        self.url = console.base.rstrip("/")
        self.session = console.session()

    def get(self, path: str) -> str:
        """Return a page that must be there."""
        answer = self.session.get(f"{self.url}{path}", timeout=60)
        assert answer.ok, answer.text
        return unescape(answer.text)

    def post(self, path: str, fields: Mapping[str, Any] | None = None) -> requests.Response:
        """Send a form as a browser does from a page of the console; a redirect is not followed."""
        found = re.search(r'<meta name="csrf" content="(\w+)">', self.get("/"))
        assert found
        headers = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        form = {"csrf": found[1], **(fields or {})}
        return self.session.post(f"{self.url}{path}", form, headers=headers, timeout=60, allow_redirects=False)

    def plan(self, verb: str, *, groups: Sequence[str], source: str = "log") -> str:
        """Choose groups, and return the plan's path."""
        answer = self.post("/dead-letters/plan", {"verb": verb, "group": groups, "source": source})
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def groups(self, path: str = "/dead-letters") -> dict[str, tuple[str, int]]:
        """Return the groups on the page: by handler, the key and how many there are."""
        rows = re.findall(
            r'name="group" value="(\w+)".*?class="number">(\d+)<.*?data-label="Handler">(?:<a [^>]*>)?([^<]*)<',
            self.get(path),
            re.DOTALL,
        )
        return {handler: (key, int(count)) for key, count, handler in rows}

    def start(self, path: str, **fields: str) -> str:
        """Start a plan, and return its job's path."""
        answer = self.post(f"{path}/start", fields)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def ends(self, job: str) -> dict[str, int]:
        """Return the counts of the job's page by the words of the ending."""
        rows = re.findall(r'class="number">(\d+)</td><td data-label="End"><span[^>]*>([\w ]+)<', self.get(job))
        counts: dict[str, int] = {}
        for count, words in rows:
            counts[words] = counts.get(words, 0) + int(count)
        return counts

    def wait_for_the_end(self, job: str, *, within: float = 90) -> dict[str, int]:
        """Wait until the job has ended; return the counts by the words of the ending."""
        wait_until(lambda: 'data-state="ended"' in self.get(job), within=within, every=0.2)
        return self.ends(job)
