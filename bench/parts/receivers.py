"""Parts that load a receiver: all contestants, a steady rate, large bodies, two worker processes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench import load
from bench.arrivals import arrivals
from bench.contestants import RECEIVERS, Contestant, running
from bench.plan import Plan
from bench.prepared import Prepared, webhooks
from bench.results import Cell, Sample

BODY_BYTES = 200
FASTEST_PER_SECOND = 8_000  # More than any contestant answers: no small body is sent twice.
STEADY_PER_SECOND, STEADY_CONNECTIONS = 200, 32
STEADY_CONTESTANTS = ("receiver", "noop", "sample", "fastapi", "fastapi-async")
STEADY_TIMES_AS_LONG = 3  # A p99.9 needs thousands of requests.
LARGE_BODIES = {1_000: (1, 64), 100_000: (1, 16), 5_000_000: (1, 8)}
TWO_WORKERS = {"WEB_CONCURRENCY": "2"}


def compared(plan: Plan) -> Iterator[Sample]:
    """Yield all contestants under a closed loop."""
    prepared = _small(plan)
    for contestant in _wanted(plan):
        cells = [_cell("receivers", contestant, connections=connections) for connections in plan.connections]
        yield from _one_start(contestant, prepared, cells, plan)


def without_order(plan: Plan) -> Iterator[Sample]:
    """Yield the receiver under events of no order: they have no ordering key, as those of all peers."""
    count = round(FASTEST_PER_SECOND * max(plan.seconds, load.WARM_UP_SECONDS))
    prepared = webhooks(plan.folder / "webhooks", count=count, body_bytes=BODY_BYTES, id_field="import_id")
    for contestant in _wanted(plan, ("receiver",)):
        cells = [_cell("without order", contestant, connections=connections) for connections in plan.connections]
        yield from _one_start(contestant, prepared, cells, plan)


def two_workers(plan: Plan) -> Iterator[Sample]:
    """Yield the receiver and the no-op view with two worker processes each."""
    prepared = _small(plan)
    for contestant in _wanted(plan, ("receiver", "noop")):
        cells = [
            _cell("two workers", contestant, connections=connections, workers=2) for connections in plan.connections
        ]
        yield from _one_start(replace(contestant, settings=TWO_WORKERS), prepared, cells, plan)


def steady(plan: Plan) -> Iterator[Sample]:
    """Yield latencies at 200 requests/s over 32 connections."""
    plan = replace(plan, seconds=STEADY_TIMES_AS_LONG * plan.seconds)
    count = round(STEADY_PER_SECOND * (plan.seconds + 1))
    prepared = webhooks(plan.folder / "steady", count=count, body_bytes=BODY_BYTES)
    for contestant in _wanted(plan, STEADY_CONTESTANTS):
        cell = _cell("steady", contestant, connections=STEADY_CONNECTIONS, requests_per_second=STEADY_PER_SECOND)
        yield from _one_start(contestant, prepared, [cell], plan)


def large_bodies(plan: Plan) -> Iterator[Sample]:
    """Yield the receiver under bodies of 1 KB, 100 KB and 5 MB."""
    for contestant in _wanted(plan, ("receiver",)):
        for body_bytes, connections in LARGE_BODIES.items():
            count = round(FASTEST_PER_SECOND * plan.seconds)
            prepared = webhooks(plan.folder / "large", count=count, body_bytes=body_bytes)
            cells = [_cell("bodies", contestant, connections=number, body_bytes=body_bytes) for number in connections]
            yield from _one_start(contestant, prepared, cells, plan)


def _small(plan: Plan) -> Prepared:
    count = round(FASTEST_PER_SECOND * max(plan.seconds, load.WARM_UP_SECONDS))
    return webhooks(plan.folder / "webhooks", count=count, body_bytes=BODY_BYTES)


def _wanted(plan: Plan, names: Sequence[str] = ()) -> list[Contestant]:
    return [
        contestant
        for contestant in RECEIVERS
        if plan.wants(contestant.name) and (not names or contestant.name in names)
    ]


def _cell(part: str, contestant: Contestant, **conditions: int) -> Cell:
    return Cell.model_validate({"part": part, "contestant": contestant.name, "body_bytes": BODY_BYTES, **conditions})


def _one_start(contestant: Contestant, prepared: Prepared, cells: Sequence[Cell], plan: Plan) -> Iterator[Sample]:
    with arrivals() as arrived:

        def check(message_ids: Sequence[str]) -> None:
            if contestant.publishes:
                arrived.check(message_ids, digests=prepared.digests, body_bytes=prepared.body_bytes)

        with running(contestant, topic_path=arrived.topic_path, folder=plan.folder) as service:
            load.warm_up(service, prepared, plan.folder)
            for cell in cells:
                values = load.measure(service, prepared, cell, seconds=plan.seconds, folder=plan.folder, check=check)
                yield Sample(cell=cell, values=values)
