"""Parts `answers` and `steady`: how quickly a webhook is answered once Pub/Sub has stored it.

All contestants run at the same time, and one after another is loaded, so that the figures that are compared are taken
within seconds of each other.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from bench import usage, wrk
from bench.arrivals import Arrivals, arrivals
from bench.contestants import NOOP, PUBLISHERS, Contestant, Running, running
from bench.errors import BenchError
from bench.plan import CONNECTIONS, WARM_UP_CONNECTIONS, WARM_UP_SECONDS, Plan
from bench.prepared import Prepared, gets, webhooks
from bench.proxy import delaying
from bench.results import Cell, Sample, percentiles
from relay.local.services import ROOT

DELAYS_MS = (0, 15)
"""A publish to the real Pub/Sub takes 15 ms and more; the emulator answers in less than 1 ms."""
FASTEST_PER_SECOND = 5_000
LONGER = 2
"""A p99 needs more samples than a median: what it is taken of lasts this many times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """The surroundings of all measurements with one delay."""

    plan: Plan
    delay_ms: int
    pubsub_host: str
    """The emulator, or the proxy in front of it."""
    webhooks: Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A contestant at work, and where its messages arrive."""

    contestant: Contestant
    service: Running
    arrived: Arrivals


def measure(plan: Plan) -> Iterator[Sample]:
    """Yield one round: without added delay, then with 15 ms."""
    prepared = webhooks(plan.folder / "webhooks", count=FASTEST_PER_SECOND * plan.seconds)
    for delay_ms in DELAYS_MS:
        with ExitStack() as stack:
            host = plan.pubsub_host
            if delay_ms:
                host = stack.enter_context(delaying(host, delay_ms=delay_ms, folder=plan.folder))
            one = _Round(plan=plan, delay_ms=delay_ms, pubsub_host=host, webhooks=prepared)
            # The no-op view publishes nothing, so that a delay changes nothing for it.
            contestants = PUBLISHERS if delay_ms else (*PUBLISHERS, NOOP)
            all_loaded = [_started(contestant, one, stack) for contestant in contestants]
            for connections in (*CONNECTIONS, None):
                for loaded in all_loaded:
                    yield _sample(loaded, one, connections)
            yield _rpc_alone(one)
            if delay_ms:
                yield _proxy_alone(one)


def _started(contestant: Contestant, one: _Round, stack: ExitStack) -> _Loaded:
    """Start the contestant and let its caches and connections settle."""
    folder = one.plan.folder
    arrived = stack.enter_context(arrivals(one.plan.pubsub_host))
    topic_path = arrived.topic_path
    service = stack.enter_context(
        running(contestant, topic_path=topic_path, pubsub_host=one.pubsub_host, folder=folder)
    )
    wrk.closed_loop(service.url, one.webhooks, connections=WARM_UP_CONNECTIONS, seconds=WARM_UP_SECONDS, folder=folder)
    return _Loaded(contestant=contestant, service=service, arrived=arrived)


def _sample(loaded: _Loaded, one: _Round, connections: int | None) -> Sample:
    """Measure a closed loop, or a steady rate where there is no number of connections.

    Raises BenchError if the contestant acknowledged what is not there.
    """
    url, pid, seconds, folder = loaded.service.url, loaded.service.child.pid, one.plan.seconds, one.plan.folder
    cpu_seconds = -usage.cpu_seconds(pid)
    if connections is None:
        load = wrk.steady(url, one.webhooks, seconds=LONGER * seconds, folder=folder)
    else:
        load = wrk.closed_loop(url, one.webhooks, connections=connections, seconds=seconds, folder=folder)
    cpu_seconds += usage.cpu_seconds(pid)
    if loaded.contestant is not NOOP:
        loaded.arrived.check(load.message_ids)
    cell = Cell(
        part="steady" if connections is None else "answers",
        contestant=loaded.contestant.name,
        delay_ms=one.delay_ms,
        connections=connections or 0,
    )
    used = {"cpu_ms": 1000 * cpu_seconds / len(load.message_ids), "pss_mb": usage.pss_mb(pid)}
    return Sample(cell=cell, values=load.values | used)


def _rpc_alone(one: _Round) -> Sample:
    """Measure the generated client's Publish RPC in one thread of a process of its own."""
    output = one.plan.folder / "rpc.json"
    with arrivals(one.plan.pubsub_host) as arrived:
        arguments = [arrived.topic_path, str(LONGER * one.plan.seconds), str(output)]
        environ = {"PYTHONPATH": str(ROOT), "PUBSUB_EMULATOR_HOST": one.pubsub_host}
        command = [sys.executable, "-m", "bench.limits.rpc", *arguments]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise BenchError(f"the publish RPC alone failed: {ended.stderr.strip().splitlines()[-1:]}")
        result = json.loads(output.read_text())
        arrived.check(result["message_ids"])
    cell = Cell(part="answers", contestant="rpc", delay_ms=one.delay_ms, connections=1)
    return Sample(cell=cell, values=percentiles(result["latencies_ms"]))


def _proxy_alone(one: _Round) -> Sample:
    """Measure the proxy with requests that the emulator answers at once: it must not be what limits the contestants."""
    url, requests = f"http://{one.pubsub_host}", gets(one.plan.folder / "gets")
    most, seconds, folder = max(CONNECTIONS), one.plan.seconds, one.plan.folder
    load = wrk.closed_loop(url, requests, connections=most, seconds=seconds, folder=folder)
    cell = Cell(part="answers", contestant="proxy", delay_ms=one.delay_ms, connections=most)
    return Sample(cell=cell, values=load.values)
