"""The files of a checkout that a local run reads and writes: `.env`, `.relay/local.env` and `.relay/logs/`.

`.env` holds the developer's settings. `.relay/local.env` holds all that a command needs against the run; it is there
while the run is.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from relay.errors import ConfigurationError
from relay.settings.commands import LOCAL_RUN_URL

DOT_ENV = Path(".env")
LOCAL_ENV = Path(".relay/local.env")
LOGS = Path(".relay/logs")
LOG_NAMES = ("receiver", "worker", "given_up")
"""The logs that tell of events."""
PID = "RELAY_LOCAL_PID"
CONTROL_URL = LOCAL_RUN_URL
CONSOLE_TOKEN = "RELAY_CONSOLE_TOKEN"  # noqa: S105 - the variable's name
"""Whoever has this token may open the run's console."""
LINES = "RELAY_LINES"
"""Files of log lines, which `relay trace` and its like read instead of Cloud Logging."""


def read(file: Path) -> dict[str, str]:
    """Return the variables of a file of NAME=VALUE lines; empty where there is no file.

    A value is the rest of its line, without quotes around it. Raises ConfigurationError with the line that is none.
    """
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    variables: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, is_variable, value = text.partition("=")
        if not is_variable or not name.strip().isidentifier():
            raise ConfigurationError(f"{file}:{number}: write NAME=VALUE; a comment begins with #")
        variables[name.strip()] = _unquoted(value.strip())
    return variables


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def shown(name: str, value: str) -> str:
    """Return `NAME=VALUE` for a person; what may be a secret is left out."""
    is_secret = any(word in name for word in ("KEY", "PASSWORD", "SECRET", "TOKEN"))
    return name if is_secret else f"{name}={value}"


def running(folder: Path) -> dict[str, str]:
    """Return the variables of the run that goes on in `folder` or in one above it; empty where none does."""
    for place in (folder, *folder.parents):
        variables = read(place / LOCAL_ENV)
        if variables:
            return variables if _is_alive(variables.get(PID, "")) else {}
    return {}


def ended_logs(folder: Path) -> list[Path]:
    """Return the logs of the run that has ended in `folder` or in one above it; empty where none was or one goes on."""
    if running(folder):
        return []
    for place in (folder, *folder.parents):
        logs = [place / LOGS / f"{name}.log" for name in LOG_NAMES]
        if logs[0].exists():
            return [log for log in logs if log.exists()]
    return []


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def announced(folder: Path, variables: Mapping[str, str]) -> Iterator[Path]:
    """Write `.relay/local.env` while the block runs, readable for its owner alone, and give its path."""
    file = folder / LOCAL_ENV
    lines = ["# Of the local run; it goes away with it. Commands in this folder read it by themselves.\n"]
    lines += [f"{name}={value}\n" for name, value in {**variables, PID: str(os.getpid())}.items()]
    written = file.with_suffix(".new")
    written.touch(mode=0o600)
    written.write_text("".join(lines))
    written.replace(file)
    try:
        yield file
    finally:
        with contextlib.suppress(FileNotFoundError):
            file.unlink()


def new_logs(folder: Path) -> Path:
    """Return the empty folder for this run's logs; those of the run before are removed."""
    logs = folder / LOGS
    shutil.rmtree(logs, ignore_errors=True)
    try:
        logs.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(f"{logs} cannot be made: {error}; run in a folder that you may write to") from error
    return logs
