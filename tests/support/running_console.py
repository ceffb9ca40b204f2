"""The command `relay console` on files of log lines, without the services."""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from relay.local.processes import Child
from relay.local.services import ROOT
from tests.support.ports import free_port


@dataclass(frozen=True, slots=True)
class RunningConsole:
    """A console, and what opens it."""

    child: Child
    url: str
    """The URL with the start-up token."""

    @property
    def base(self) -> str:
        """The URL of its list of events."""
        return self.url.partition("/open")[0] + "/"

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """Return its log lines of this kind."""
        printed = [text for text in self.child.output.read_text().splitlines() if text.startswith("{")]
        return [line for line in map(json.loads, printed) if line.get("line") == kind]

    def session(self) -> requests.Session:
        """Return a client that has exchanged the token for a cookie."""
        session = requests.Session()
        session.get(self.url, timeout=20).raise_for_status()
        return session

    def post(self, session: requests.Session, path: str, fields: Mapping[str, str]) -> requests.Response:
        """Send a form as a browser does from a page of the console; follow its redirect."""
        token = re.findall(r'<meta name="csrf" content="(\w+)">', session.get(self.base, timeout=20).text)
        headers = {"Origin": self.base.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        form = {"csrf": token[0], **fields}
        return session.post(f"{self.base}{path.lstrip('/')}", data=form, headers=headers, timeout=60)


@contextmanager
def running_console(
    files: Sequence[Path],
    *,
    output: Path,
    port: int | None = None,
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Iterator[RunningConsole]:
    """Run the console on these files, or without any on Cloud Logging, while the block runs."""
    named = [word for file in files for word in ("--lines", str(file))]
    command = [sys.executable, "-P", "-m", "relay", "console", "--port", str(port or free_port()), *named, *options]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ = {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(variables or {})}
    with Child("The console", command, environ=environ, output=output) as child:
        child.wait_until(lambda: "token=" in output.read_text(), within_seconds=60, what="it printed its URL")
        yield RunningConsole(child, re.findall(r"http://\S+token=\S+", output.read_text())[-1])
