"""The services that are measured, and how each is started."""

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

_OUR_SETTINGS = (sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A service that is measured. `start` replaces `{port}` in its command."""

    name: str
    title: str
    command: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its own."""


RECEIVER = Contestant(name="receiver", title="this receiver", command=(*_OUR_SETTINGS, "main:receiver()"))
SAMPLE = Contestant(
    name="sample",
    title="usual sample: Flask, batching client",
    command=(
        str(PEERS / "python"),
        *("-m", "gunicorn", "--bind=127.0.0.1:{port}", "--workers=1", "--threads=8", "--timeout=0"),
        "bench.peers.flask_sample:app",
    ),
)
FUNCTIONS = Contestant(
    name="functions",
    title="functions-framework, batching client",
    command=(
        str(PEERS / "functions-framework"),
        *("--target=receive_webhook", f"--source={ROOT / 'bench/peers/functions_sample.py'}"),
        *("--host=127.0.0.1", "--port={port}"),
    ),
)
FASTAPI = Contestant(
    name="fastapi",
    title="FastAPI, asyncio client, same job",
    command=(
        *(str(PEERS / "python"), "-m", "uvicorn", "--host=127.0.0.1", "--port={port}", "--no-access-log"),
        "bench.peers.fastapi_same_job:app",
    ),
)
PUBLISHERS = [RECEIVER, FASTAPI, SAMPLE, FUNCTIONS]
NOOP = Contestant(
    name="noop",
    title="limit: no-op view, same gunicorn settings",
    # gunicorn.conf.py knows the receiver by its name among the arguments.
    command=(*_OUR_SETTINGS, "--name", "main:receiver()", "bench.limits.noop:app"),
)
WORKER = Contestant(name="worker", title="this worker", command=(*_OUR_SETTINGS, "main:worker()"))
NOOP_WORKER = Contestant(
    name="noop-worker",
    title="limit: no-op view, same gunicorn settings",
    command=(*_OUR_SETTINGS, "bench.limits.noop:app"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A contestant at work."""

    child: Child
    url: str


@contextmanager
def running(contestant: Contestant, *, topic_path: str, pubsub_host: str, folder: Path) -> Iterator[Running]:
    """Start the contestant, wait until it answers, and stop it at the end. Raises ConfigurationError if it fails."""
    port = free_port()
    with start(contestant, port=port, topic_path=topic_path, pubsub_host=pubsub_host, folder=folder) as child:
        url = f"http://127.0.0.1:{port}"
        child.wait_until(lambda: _answers(url), within_seconds=START_SECONDS, what="it answered")
        yield Running(child=child, url=url)


def start(contestant: Contestant, *, port: int, topic_path: str, pubsub_host: str, folder: Path) -> Child:
    """Start the contestant and return at once."""
    command = [part.format(port=port) for part in contestant.command]
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "BENCH_TOPIC_PATH": topic_path,
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "PUBSUB_EMULATOR_HOST": pubsub_host,
        "PUBSUB_TOPIC": topic_path,
        "PUBSUB_DEAD_LETTER_TOPIC": topic_path,
        "ONESTOCK_HASH_KEYS": HASH_KEY.decode(),
        **contestant.settings,
    }
    return Child(contestant.title, command, environ=environ, output=folder / f"{contestant.name}.log")


def _answers(url: str) -> bool:
    try:
        requests.get(f"{url}/health", timeout=5)
    except requests.RequestException:
        return False
    return True
