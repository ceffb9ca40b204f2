"""What the console's pages work with."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from relay.console.actions import PROJECT
from relay.console.reading import Reading
from relay.console.redrives import Redrives

MAX_STREAMS = 16  # Each takes one of the server's threads.
_NAME = "relay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """One console: where it reads, and what its reader may do."""

    reading: Reading
    environ: Mapping[str, str]
    """Where the settings of the commands are read that the pages share functions with."""
    allows_actions: bool
    is_local: bool
    """Whether it shows a local run: then a reason for an action is not asked for."""
    redrives: Redrives = field(default_factory=Redrives)
    streams: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_STREAMS))
    """One for each page that is live."""

    @property
    def place(self) -> str:
        """What it shows, in words."""
        if self.is_local:
            return "local run"
        project = self.environ.get(PROJECT)
        return f"project {project}" if project else "files"


def console() -> Console:
    """Return the console of the request at hand."""
    return console_of(current_app.extensions)


def console_of(app_extensions: Mapping[str, object]) -> Console:
    """Return the console of an app that is being made."""
    return cast("Console", app_extensions[_NAME])


def keep(app_extensions: dict[str, object], one: Console) -> None:
    """Give an app its console."""
    app_extensions[_NAME] = one
