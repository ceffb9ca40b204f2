"""Part `starts`: from the start of the process to the first answer, and the memory then, against a bare import."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from bench import usage
from bench.arrivals import arrivals
from bench.contestants import RECEIVER, WORKER, Contestant, start
from bench.errors import BenchError
from bench.plan import Plan
from bench.prepared import Prepared, pushes, webhooks
from bench.pushes import settings
from bench.results import Cell, Sample
from relay.local.processes import free_port
from tests.support.token_issuer import TokenIssuer

PROGRAM = "import flask, google.cloud.pubsub_v1, google.cloud.logging; print('done', flush=True); input()"
STARTS = 4
"""Of each service, in one round."""
WITHIN_SECONDS = 60
RETRY_SECONDS = 0.002


def measure(plan: Plan) -> Iterator[Sample]:
    """Yield, in turn: the bare import, the receiver up to its first 202, the worker up to its first 204."""
    with TokenIssuer().published() as issuer, arrivals(plan.pubsub_host) as arrived:
        worker = replace(WORKER, settings=settings(issuer))
        webhook = webhooks(plan.folder / "webhook", count=1)
        push = pushes(plan.folder / "push", numbers=range(1), token=issuer.token())
        for _ in range(STARTS):
            yield _import()
            yield _cold_start(RECEIVER, webhook, b"202", arrived.topic_path, plan)
            yield _cold_start(worker, push, b"204", arrived.topic_path, plan)


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


def _cold_start(contestant: Contestant, prepared: Prepared, status: bytes, topic_path: str, plan: Plan) -> Sample:
    port, started = free_port(), time.perf_counter()
    host, folder = plan.pubsub_host, plan.folder
    with start(contestant, port=port, topic_path=topic_path, pubsub_host=host, folder=folder) as child:
        answer = _first_answer(port, prepared.first)
        seconds = time.perf_counter() - started
        if answer != status:
            raise BenchError(f"{contestant.name}: the first answer was {answer!r}: {child.output.read_text()[-500:]}")
        return _sample(contestant.name, child.pid, seconds)


def _first_answer(port: int, request: bytes) -> bytes:
    """Return the status of the first answer: the connection waits in the backlog until the service takes it."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), WITHIN_SECONDS) as service:
            service.sendall(request)
            return service.recv(65_536).split(b" ", 2)[1]
        time.sleep(RETRY_SECONDS)
    raise BenchError(f"nobody listened on port {port} within {WITHIN_SECONDS} s")


def _sample(name: str, group: int, seconds: float) -> Sample:
    values = {"seconds": seconds, "cpu_seconds": usage.cpu_seconds(group), "pss_mb": usage.pss_mb(group)}
    return Sample(cell=Cell(part="starts", contestant=name), values=values)
