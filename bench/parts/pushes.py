"""Parts that load the worker: against the no-op view, and with many handlers."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bench import load
from bench.arrivals import arrivals
from bench.contestants import WORKERS, Contestant, running
from bench.plan import Plan
from bench.prepared import pushes
from bench.results import Cell, Sample
from tests.support.token_issuer import AUDIENCE, EMAIL, TokenIssuer

BODY_BYTES = 200
FASTEST_PER_SECOND = 7_000  # An event that is sent twice would be a duplicate.
CONNECTIONS = (1, 8, 64)
MANY_HANDLERS = (10, 50)
MANY_HANDLERS_CONNECTIONS = 8
HANDLER_BUDGET_SECONDS = "11"  # 50 of them must fit into the ack deadline.


def compared(plan: Plan) -> Iterator[Sample]:
    """Yield the worker with one handler, and the no-op view."""
    with TokenIssuer().published() as issuer:
        for contestant in WORKERS:
            if plan.wants(contestant.name):
                yield from _one_start(contestant, issuer, plan, part="pushes", connections=CONNECTIONS, handlers=1)


def many_handlers(plan: Plan) -> Iterator[Sample]:
    """Yield the worker with 10 and with 50 handlers for each event."""
    with TokenIssuer().published() as issuer:
        for contestant in WORKERS:
            for handlers in MANY_HANDLERS:
                if contestant.name == "worker" and plan.wants(contestant.name):
                    connections = (MANY_HANDLERS_CONNECTIONS,)
                    yield from _one_start(
                        contestant, issuer, plan, part="handlers", connections=connections, handlers=handlers
                    )


def settings(issuer: TokenIssuer, *, handlers: int) -> Mapping[str, str]:
    """Return a worker's settings: tokens are verified, events are remembered."""
    return {
        "PUSH_AUTH": "oidc",
        "PUSH_AUDIENCE": AUDIENCE,
        "PUSH_SERVICE_ACCOUNT": EMAIL,
        "PUSH_CERTIFICATES_URL": issuer.url,
        "HANDLERS_PACKAGE": "bench.handlers",
        "HANDLER_BUDGET_SECONDS": HANDLER_BUDGET_SECONDS,
        "BENCH_HANDLERS": str(handlers),
    }


def _one_start(
    contestant: Contestant,
    issuer: TokenIssuer,
    plan: Plan,
    *,
    part: str,
    connections: tuple[int, ...],
    handlers: int,
) -> Iterator[Sample]:
    contestant = replace(contestant, settings=settings(issuer, handlers=handlers))
    token = issuer.token()
    warm_up_count = round(FASTEST_PER_SECOND * load.WARM_UP_SECONDS)
    count = round(FASTEST_PER_SECOND * plan.seconds)
    with arrivals() as unused, running(contestant, topic_path=unused.topic_path, folder=plan.folder) as service:
        handled = load.HandledEvents(service.child.output)
        file = plan.folder / "pushes"
        first = pushes(file, first=0, count=warm_up_count, body_bytes=BODY_BYTES, token=token)
        load.warm_up(service, first, plan.folder)
        for place, number in enumerate(connections):
            prepared = pushes(
                file, first=warm_up_count + place * count, count=count, body_bytes=BODY_BYTES, token=token
            )
            cell = Cell(
                part=part,
                contestant=contestant.name,
                connections=number,
                body_bytes=BODY_BYTES,
                handlers=handlers,
            )
            check = handled.check if contestant.name == "worker" else _nothing_to_check
            values = load.measure(service, prepared, cell, seconds=plan.seconds, folder=plan.folder, check=check)
            yield Sample(cell=cell, values=values)


def _nothing_to_check(_: object) -> None:
    """Let the no-op view pass."""
