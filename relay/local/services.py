"""The receiver and the worker as real processes under gunicorn, with the production settings."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import requests

from relay.local.processes import Child

START_SECONDS = 30
ROOT = Path(__file__).parents[2]


def start_service(
    name: str,
    *,
    port: int,
    settings: Mapping[str, str],
    output: Path,
    errors: int | None = None,
    app: str | None = None,
) -> Child:
    """Start `main:NAME()`, or `app` in its place and under its settings, on 127.0.0.1; return once it is healthy.

    `settings` are added to an environment that holds no setting of the relay. What it prints is added to `output`;
    with `errors`, a file descriptor, standard error goes there. Raises ConfigurationError with the last lines of
    `output` if it does not start.
    """
    environ = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    environ |= {"PORT": str(port), "BIND_HOST": "127.0.0.1", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environ["MALLOC_ARENA_MAX"] = "2"  # As the Dockerfile sets it.
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py")]
    # gunicorn.conf.py knows the service by its name among the arguments.
    command = [*gunicorn, "--name", f"main:{name}()", app or f"main:{name}()"]
    child = Child(f"The {name}", command, environ={**environ, **settings}, output=output, errors=errors)
    try:
        url = f"http://127.0.0.1:{port}/health"
        child.wait_until(lambda: _is_healthy(url), within_seconds=START_SECONDS, what="it was healthy")
    except BaseException:
        child.stop()
        raise
    return child


def _is_healthy(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False
