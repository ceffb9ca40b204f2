"""The services that are measured, and how each is started."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from bench.prepared import HASH_KEY, PROJECT
from relay.local.processes import Child, free_port
from relay.local.services import ROOT

PEERS = ROOT / "bench/.venv/bin"
START_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A service that is measured, and the command that starts it."""

    name: str
    title: str
    command: str
    """Split at its spaces. {ours} is gunicorn under our settings, {peers} the folder of the peers' programs."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its own."""


RECEIVER = Contestant(name="receiver", title="this receiver", command="{ours} main:receiver()")
FASTAPI = Contestant(
    name="fastapi",
    title="FastAPI, asyncio client, same job",
    command="{peers}/uvicorn --host=127.0.0.1 --port={port} --no-access-log bench.peers.fastapi_same_job:app",
)
SAMPLE = Contestant(
    name="sample",
    title="usual sample: Flask, batching client",
    command="{peers}/gunicorn --bind=127.0.0.1:{port} --workers=1 --threads=8 --timeout=0 bench.peers.flask_sample:app",
)
FUNCTIONS = Contestant(
    name="functions",
    title="functions-framework, batching client",
    command="{peers}/functions-framework --target=receive_webhook --source={root}/bench/peers/functions_sample.py "
    "--host=127.0.0.1 --port={port}",
)
PUBLISHERS = (RECEIVER, FASTAPI, SAMPLE, FUNCTIONS)

# gunicorn.conf.py knows the receiver by its name among the arguments.
NOOP = Contestant(
    name="noop",
    title="limit: no-op view, same gunicorn settings",
    command="{ours} --name main:receiver() bench.limits.noop:app",
)
WORKER = Contestant(name="worker", title="this worker", command="{ours} main:worker()")
NOOP_WORKER = Contestant(name="noop-worker", title=NOOP.title, command="{ours} bench.limits.noop:app")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A contestant at work."""

    child: Child
    url: str


@contextmanager
def running(contestant: Contestant, *, topic_path: str, pubsub_host: str, folder: Path) -> Iterator[Running]:
    """Start the contestant, wait until it answers, and stop it at the end. Raises ConfigurationError if it fails."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with start(contestant, port=port, topic_path=topic_path, pubsub_host=pubsub_host, folder=folder) as child:
        child.wait_until(lambda: _answers(url), within_seconds=START_SECONDS, what="it answered")
        yield Running(child=child, url=url)


def start(contestant: Contestant, *, port: int, topic_path: str, pubsub_host: str, folder: Path) -> Child:
    """Start the contestant and return at once."""
    ours = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py")]
    parts = [part.format(peers=PEERS, root=ROOT, port=port, ours="") for part in contestant.command.split()]
    command = parts if parts[0] else ours + parts[1:]
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
