"""Who is compared: how each is started. All take a webhook, publish it durably, and answer with its message id."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from bench.arrivals import PROJECT
from bench.prepared import HASH_KEY
from relay.local.processes import Child, free_port
from relay.local.services import ROOT

PEERS = ROOT / "bench/.venv/bin"
START_SECONDS = 60

_GUNICORN = (sys.executable, "-m", "gunicorn")
_OUR_SETTINGS = (*_GUNICORN, "--config", str(ROOT / "gunicorn.conf.py"))
_UVICORN = (str(PEERS / "python"), "-m", "uvicorn", "--host=127.0.0.1", "--port={port}", "--no-access-log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A service that is measured. `{port}` in its command is replaced."""

    name: str
    title: str
    """What the tables call it."""
    command: tuple[str, ...]
    publishes: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its own."""


RECEIVERS = (
    Contestant(
        name="receiver",
        title="this receiver, everything on",
        command=(*_OUR_SETTINGS, "main:receiver()"),
    ),
    Contestant(
        name="noop",
        title="limit: no-op view, same gunicorn settings",
        # gunicorn.conf.py knows the receiver by its name among the arguments.
        command=(*_OUR_SETTINGS, "--name", "main:receiver()", "bench.limits.noop:app"),
        publishes=False,
    ),
    Contestant(
        name="sample",
        title="usual sample: Flask, gunicorn 1 x 8 threads",
        command=(
            str(PEERS / "python"),
            *("-m", "gunicorn", "--bind=127.0.0.1:{port}", "--workers=1", "--threads=8", "--timeout=0"),
            "bench.peers.flask_sample:app",
        ),
    ),
    Contestant(
        name="functions",
        title="functions-framework",
        command=(
            str(PEERS / "functions-framework"),
            *("--target=receive_webhook", f"--source={ROOT / 'bench/peers/functions_sample.py'}"),
            *("--host=127.0.0.1", "--port={port}"),
        ),
    ),
    Contestant(
        name="fastapi",
        title="FastAPI, uvicorn, batching client",
        command=(*_UVICORN, "bench.peers.fastapi_sample:app"),
    ),
    Contestant(
        name="fastapi-async",
        title="FastAPI, uvicorn, asyncio client",
        command=(*_UVICORN, "bench.peers.fastapi_async_sample:app"),
    ),
)

WORKERS = (
    Contestant(
        name="worker",
        title="this worker: token, envelope, deduplication, handlers",
        command=(*_OUR_SETTINGS, "main:worker()"),
        publishes=False,
    ),
    Contestant(
        name="noop-worker",
        title="limit: no-op view, same gunicorn settings",
        command=(*_OUR_SETTINGS, "bench.limits.noop:app"),
        publishes=False,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A contestant at work."""

    child: Child
    url: str


@contextmanager
def running(contestant: Contestant, *, topic_path: str, folder: Path) -> Iterator[Running]:
    """Start the contestant, wait until it answers, and stop it at the end. Raises ConfigurationError if it fails."""
    port = free_port()
    with start(contestant, port=port, topic_path=topic_path, folder=folder) as child:
        url = f"http://127.0.0.1:{port}"
        child.wait_until(lambda: _answers(url), within_seconds=START_SECONDS, what="it answered")
        yield Running(child=child, url=url)


def start(contestant: Contestant, *, port: int, topic_path: str, folder: Path) -> Child:
    """Start the contestant and return at once."""
    command = [part.format(port=port) for part in contestant.command]
    environ = {**_environ(topic_path, port), **contestant.settings}
    return Child(contestant.title, command, environ=environ, output=folder / f"{contestant.name}.log")


def _environ(topic_path: str, port: int) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PUBSUB_EMULATOR_HOST")}
    return {
        **inherited,
        "PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "BENCH_TOPIC_PATH": topic_path,
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "PUBSUB_TOPIC": topic_path,
        "PUBSUB_DEAD_LETTER_TOPIC": topic_path,
        "ONESTOCK_HASH_KEYS": HASH_KEY.decode(),
    }


def _answers(url: str) -> bool:
    try:
        requests.get(f"{url}/health", timeout=5)
    except requests.RequestException:
        return False
    return True
