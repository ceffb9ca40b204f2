"""The only module that runs gcloud. A command is a tuple of words; nothing passes through a shell."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deploy.errors import DeployError

Command = tuple[str, ...]

# Calls wait for Google, but each gcloud also takes half a second of a CPU.
AT_ONCE = 8
# What was made just before is not known everywhere at once: an account or an API for up to two minutes, a log-based
# metric for ten.
_NOT_YET = re.compile(
    r"Service account \S+ does not exist|has not been used in project|Cannot find metric that matches"
)
_PATIENCE_SECONDS = 600


class Gcloud:
    """gcloud, for one project."""

    def __init__(self, project: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._project = project
        self._sleep = sleep

    def read_all(self, commands: Iterable[Command]) -> dict[Command, Any]:
        """Run commands that only read, at once, and return what each printed. Raises DeployError."""
        wanted = list(dict.fromkeys(commands))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(wanted, pool.map(self.read, wanted), strict=True))

    def read(self, command: Command) -> Any:
        """Run a command and return the JSON that it printed, None if it printed nothing. Raises DeployError."""
        printed = self._run(command, stdin="").strip()
        return json.loads(printed) if printed else None

    def change(self, command: Command, *, stdin: str = "") -> None:
        """Run a command that changes something. Waits while Google does not know yet what was made just before.

        Raises DeployError.
        """
        waited = 0.0
        while True:
            try:
                self._run(command, stdin=stdin)
                return
            except DeployError as error:
                if waited >= _PATIENCE_SECONDS or not _NOT_YET.search(str(error)):
                    raise
            self._sleep(5)
            waited += 5

    def show(self, command: Command) -> None:
        """Run a long command whose output goes where ours goes. Raises DeployError."""
        ended = subprocess.run(["gcloud", *command, f"--project={self._project}", "--quiet"], check=False)  # noqa: S603, S607 - our words
        if ended.returncode:
            raise DeployError(f"gcloud {' '.join(command[:2])}: exit status {ended.returncode}; see above")

    def _run(self, command: Command, *, stdin: str) -> str:
        whole = ["gcloud", *command, f"--project={self._project}", "--format=json", "--quiet"]
        try:
            ended = subprocess.run(whole, input=stdin, capture_output=True, text=True, check=False)  # noqa: S603 - our words
        except FileNotFoundError:
            raise DeployError("gcloud is not installed: https://cloud.google.com/sdk/docs/install") from None
        if ended.returncode:
            lines = [line for line in ended.stderr.splitlines() if line.strip()]
            said = " ".join(lines[:6]) or f"exit status {ended.returncode}"
            raise DeployError(f"gcloud {' '.join(command)}: {said}")
        return ended.stdout
