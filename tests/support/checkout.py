"""A developer's folder, in which the local run and the commands run as he types them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from relay.local.environment import LOCAL_ENV, read
from relay.local.processes import Child
from relay.local.services import ROOT
from relay.local.simulator import send
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.warm_relay import run_relay

PORTS = ("RECEIVER_PORT", "WORKER_PORT", "EMULATOR_PORT", "CONSOLE_PORT")


@dataclass
class Checkout:
    """A developer's folder with handlers of its own."""

    folder: Path
    environ: dict[str, str]
    running: list[Child] = field(default_factory=list)

    def save(self, text: str) -> None:
        """Save the file with the handlers."""
        (self.folder / self.environ["HANDLERS_PACKAGE"] / "orders.py").write_text(text)

    def start(self, *options: str) -> Child:
        """Start the local run."""
        command = [sys.executable, "-m", "relay", "run", *options]
        self.running.append(
            Child("make run", command, environ=self.environ, output=self.folder / "run.log", folder=self.folder)
        )
        return self.running[-1]

    @property
    def shown(self) -> str:
        """What the run has printed."""
        return (self.folder / "run.log").read_text()

    def wait_for(self, text: str, *, within: float = 120) -> None:
        """Wait until the run has printed `text`."""
        wait_until(lambda: text in self.shown, within=within)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder."""
        return run_relay(arguments, environ=self.environ, folder=self.folder, timeout_seconds=60)

    def dead_letters(self) -> list[dict[str, Any]]:
        """Return what waits in the dead letters."""
        letters: list[dict[str, Any]] = json.loads(self.run("dead-letters", "list", "--json").stdout)
        return letters

    def send(self, event_type: str, content: Mapping[str, Any]) -> float:
        """Send a signed webhook to the run's receiver, and return the moment of its 202 (time.perf_counter)."""
        settings = read(self.folder / LOCAL_ENV)
        keys = [key.encode() for key in settings["ONESTOCK_HASH_KEYS"].split(",")]
        url = f"{settings['RECEIVER_URL']}/webhooks/onestock/{event_type}"
        with requests.Session() as session:
            answer = send(session, url, json.dumps(content).encode(), keys=keys)
        answered_at = time.perf_counter()
        assert answer.status_code == 202, answer.text
        return answered_at

    @property
    def console_url(self) -> str:
        """What opens the run's console in a browser."""
        urls: list[str] = re.findall(r"http://127\.0\.0\.1:\d+/open\?token=\S+", self.shown)
        return urls[-1]


@contextmanager
def checkout_in(folder: Path, *, package: str = "code_of_the_shop") -> Iterator[Checkout]:
    """Make a checkout of `folder`, whose run has ports of its own; what it started ends with the block."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").touch()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_TOOL_OPTIONS") if name in os.environ}
    ports = {name: str(free_port()) for name in PORTS}
    made = Checkout(folder, {**kept, **ports, "PYTHONPATH": str(ROOT), "HANDLERS_PACKAGE": package})
    try:
        yield made
    finally:
        for child in made.running:
            child.stop()
