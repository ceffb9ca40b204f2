"""Part `starts`: from the start of the process to the first answer, and the memory then, against a bare import."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench import usage
from bench.arrivals import arrivals
from bench.contestants import RECEIVERS, WORKERS, Contestant, start
from bench.errors import BenchError
from bench.parts.pushes import settings
from bench.plan import Plan
from bench.prepared import LENGTH_DIGITS, Prepared, pushes, webhooks
from bench.results import Cell, Sample
from relay.local.processes import free_port
from tests.support.token_issuer import TokenIssuer

PROGRAM = "import flask, google.cloud.pubsub_v1, google.cloud.logging; print('done', flush=True); input()"
BODY_BYTES = 200
WITHIN_SECONDS = 60
RETRY_SECONDS = 0.002


def measure(plan: Plan) -> Iterator[Sample]:
    """Yield, in turn: the bare import, the receiver up to its first 202, the worker up to its first 204."""
    receiver = next(contestant for contestant in RECEIVERS if contestant.name == "receiver")
    worker = next(contestant for contestant in WORKERS if contestant.name == "worker")
    with TokenIssuer().published() as issuer, arrivals() as arrived:
        worker = replace(worker, settings=settings(issuer, handlers=1))
        webhook = webhooks(plan.folder / "webhook", count=1, body_bytes=BODY_BYTES)
        push = pushes(plan.folder / "push", first=0, count=1, body_bytes=BODY_BYTES, token=issuer.token())
        for _ in range(plan.starts):
            if plan.wants("import"):
                yield _import()
            if plan.wants("receiver"):
                yield _cold_start(receiver, webhook, b"202", arrived.topic_path, plan.folder)
            if plan.wants("worker"):
                yield _cold_start(worker, push, b"204", arrived.topic_path, plan.folder)


def _import() -> Sample:
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    ) as process:
        printed = process.stdout.readline() if process.stdout else b""
        seconds = time.perf_counter() - started
        if printed != b"done\n":
            raise BenchError(f"the bare import failed: {PROGRAM}")
        sample = _sample("import", process.pid, seconds)
        process.communicate(b"\n")
    return sample


def _cold_start(contestant: Contestant, prepared: Prepared, status: bytes, topic_path: str, folder: Path) -> Sample:
    request = prepared.file.read_bytes()[LENGTH_DIGITS:]
    port = free_port()
    started = time.perf_counter()
    with start(contestant, port=port, topic_path=topic_path, folder=folder) as child:
        answer = _first_answer(port, request)
        seconds = time.perf_counter() - started
        if answer != status:
            raise BenchError(f"{contestant.name}: the first answer was {answer!r}: {child.output.read_text()[-500:]}")
        return _sample(contestant.name, child.pid, seconds)


def _first_answer(port: int, request: bytes) -> bytes:
    """Return the status of the first answer: the connection waits in the backlog until the service takes it."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=WITHIN_SECONDS) as connection:
                connection.sendall(request)
                return connection.recv(65_536).split(b" ", 2)[1]
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise BenchError(f"nobody listened on port {port} within {WITHIN_SECONDS} s") from None
            time.sleep(RETRY_SECONDS)


def _sample(name: str, group: int, seconds: float) -> Sample:
    memory = usage.memory(group)
    values = {
        "seconds": seconds,
        "cpu_seconds": usage.cpu_seconds(group),
        "rss_mb": memory.rss_mb,
        "pss_mb": memory.pss_mb,
    }
    return Sample(cell=Cell(part="starts", contestant=name), values=values)
