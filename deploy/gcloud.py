"""The only module that reaches Google. A command is a tuple of words for gcloud; nothing passes through a shell.

A command whose first word is `API` is a call of a REST API: (API, METHOD, NAME, PATH). deploy uses it where gcloud has
only an alpha command, which not every builder image contains.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deploy.errors import DeployError, NotYet

Command = tuple[str, ...]

API = "api"
AT_ONCE = 8  # Calls wait for Google, but each gcloud also takes half a second of a CPU.
# How long Google may need to know everywhere what was made just before: an API, an account or a grant.
PATIENCE_SECONDS = 180
_LONGEST_PAUSE_SECONDS = 15
# Statuses that waiting does not change. Every other one may mean that Google does not know yet what was made: 400 for
# an account in a policy, 403 for a grant or an API, 404 for a resource. gcloud prints no status where Pub/Sub refuses.
_FINAL = re.compile(r"\b(?:ALREADY_EXISTS|UNAUTHENTICATED|(?:HTTP|HTTPError|code:) (?:401|409))\b")
_WRONG_USAGE = 2  # gcloud's exit status for words that it does not know.
_BUILD_RUNS = re.compile(r"^(?:Created \[|Logs are available at )", re.MULTILINE)


class Gcloud:
    """gcloud, for one project.

    `is_fresh` says that something that this project needs was made just before this process started.
    """

    def __init__(self, project: str, *, is_fresh: bool = False, sleep: Callable[[float], None] = time.sleep) -> None:
        self._project = project
        self._has_made = is_fresh
        self._sleep = sleep

    def read_all(self, commands: Iterable[Command]) -> dict[Command, Any]:
        """Run commands that only read, at once, and return what each printed. Raises DeployError."""
        wanted = list(dict.fromkeys(commands))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(wanted, pool.map(self.read, wanted), strict=True))

    def read(self, command: Command) -> Any:
        """Run a command and return the JSON that it printed, None if it printed nothing. Raises DeployError."""
        printed = self._patiently(lambda: self._run(command, stdin=""), PATIENCE_SECONDS).strip()
        return json.loads(printed) if printed else None

    def change(self, command: Command, *, stdin: str = "", patience_seconds: float = PATIENCE_SECONDS) -> Any:
        """Run a command that changes something and return the JSON that it printed. Raises DeployError.

        A command that fails because Google does not know yet what this process has made is tried again.
        """
        printed = self._patiently(lambda: self._run(command, stdin=stdin), patience_seconds).strip()
        self._has_made = True
        return json.loads(printed) if printed else None

    def submit(self, command: Command) -> None:
        """Submit a build and show its log until it has ended. Raises DeployError.

        Only a build that Cloud Build did not take is submitted again.
        """
        self._patiently(lambda: self._show(command), PATIENCE_SECONDS)

    def _patiently(self, attempt: Callable[[], str], patience_seconds: float) -> str:
        waited, pause = 0.0, 1.0
        while True:
            try:
                return attempt()
            except NotYet as error:
                if not self._has_made or waited >= patience_seconds:
                    raise
                if not waited:
                    sys.stderr.write(f"waiting up to {patience_seconds:.0f} s for what was just made: {error}\n")
            self._sleep(pause)
            waited += pause
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _run(self, command: Command, *, stdin: str) -> str:
        if command[0] == API:
            return self._call(*command[1:], body=stdin)
        whole = ["gcloud", *command, f"--project={self._project}", "--format=json", "--quiet"]
        try:
            ended = subprocess.run(whole, input=stdin, capture_output=True, text=True, check=False)  # noqa: S603 - our words
        except FileNotFoundError:
            raise DeployError("gcloud is not installed: https://cloud.google.com/sdk/docs/install") from None
        if ended.returncode:
            raise failure(command, ended.stderr, ended.returncode)
        return ended.stdout

    def _show(self, command: Command) -> str:
        whole = ["gcloud", *command, f"--project={self._project}", "--quiet"]
        said = ""
        with subprocess.Popen(whole, stderr=subprocess.PIPE, text=True) as running:  # noqa: S603 - our words
            for line in running.stderr or ():
                sys.stderr.write(line)
                said += line
        if running.returncode and _BUILD_RUNS.search(said):
            raise DeployError(f"gcloud {' '.join(command[:3])}: the build failed; its log stands above")
        if running.returncode:
            raise failure(command[:3], said, running.returncode)
        return ""

    def _call(self, method: str, name: str, path: str, *, body: str) -> str:
        # The same variable redirects gcloud's own calls.
        root = os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}") or f"https://{name}.googleapis.com/"
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Content-Type": "application/json",
            "X-Goog-User-Project": self._project,  # Without it a person's call counts for gcloud's own project.
        }
        request = urllib.request.Request(root + path, body.encode() or None, headers, method=method)  # noqa: S310 - Google's
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - Google's
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            raise failure((method, path), f"HTTP {error.code}: {_message_of(error)}", 1) from error
        except OSError as error:
            raise DeployError(f"{method} {root}{path}: {error}") from error

    def _token(self) -> str:
        # Asked for each call: one lives an hour, and a build may take longer.
        return str(json.loads(self._run(("auth", "print-access-token"), stdin=""))["token"])


def failure(command: Command, said: str, status: int) -> DeployError:
    """Return the error for a command that ended with `status` (gcloud's exit status) and these words on stderr."""
    lines = [line for line in said.splitlines() if line.strip()]
    text = f"gcloud {' '.join(command)}: {' '.join(lines[:6]) or f'exit status {status}'}"
    is_final = status == _WRONG_USAGE or _FINAL.search(said)
    return DeployError(text) if is_final else NotYet(text)


def _message_of(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text[:500]
