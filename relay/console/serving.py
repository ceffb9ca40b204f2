"""Serves the console on 127.0.0.1 under gunicorn, as the services are served: one process, threads."""

import gc
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from relay import logs
from relay.console import ending
from relay.console.app import console_app
from relay.console.context import Console
from relay.console.guard import OPEN_PATH, Guard
from relay.console.lines import LineSource
from relay.console.reading import Reading
from relay.investigation.index import EventIndex

THREADS = 32  # Live pages take 16 of them at most.


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn carries no types
    def __init__(self, make_app: Callable[[], Flask], options: Mapping[str, Any]) -> None:
        self._make_app = make_app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._make_app()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command's options and its environment say."""

    port: int
    token: str
    project: str
    allows_actions: bool
    is_local: bool
    environ: Mapping[str, str]


def serve(wishes: Wishes, source: LineSource, *, ready: Callable[[], None]) -> None:
    """Serve the console until a signal ends the process; call `ready` once the port is open."""
    consoles: list[Console] = []

    def make_app() -> Flask:
        # In the process that serves: a thread does not survive the fork.
        logs.configure(project=wishes.project, service="console")
        # The index holds a million objects that stay: to look through them for cycles would double a page's time.
        gc.set_threshold(100_000, 50, 100)
        one = Console(
            reading=Reading(source, EventIndex()).start(),
            environ=_of_project(wishes.environ, wishes.project),
            allows_actions=wishes.allows_actions,
            is_local=wishes.is_local,
        )
        consoles.append(one)
        ending.end_at_a_signal()
        return console_app(one, Guard(port=wishes.port, token=wishes.token))

    options = {
        "bind": f"127.0.0.1:{wishes.port}",
        "workers": 1,
        "worker_class": "gthread",
        "threads": THREADS,
        # So long a redrive that is stopped may take: a publish that is under way ends within its budget.
        "graceful_timeout": ending.STOP_SECONDS + 5,
        "loglevel": "warning",
        "control_socket_disable": True,
        "when_ready": lambda _: ready(),
        "worker_exit": lambda _arbiter, _worker: ending.end_process([one.redrives for one in consoles]),
    }
    _Server(make_app, options).run()


def _of_project(environ: Mapping[str, str], project: str) -> Mapping[str, str]:
    """Return the environment for actions: they must be about the project whose log is shown."""
    return {**environ, "GOOGLE_CLOUD_PROJECT": project} if project else environ


def new_token() -> str:
    """Return a start-up token."""
    return secrets.token_urlsafe(24)


def url_of(port: int, token: str) -> str:
    """Return the URL that opens the console."""
    return f"http://127.0.0.1:{port}{OPEN_PATH}?token={token}"
