"""Part `pushes`: the worker's push endpoint with token, envelope, deduplication and one handler, and a no-op view."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

from bench import wrk
from bench.arrivals import arrivals
from bench.contestants import NOOP_WORKER, WORKER, running
from bench.errors import BenchError
from bench.plan import CONNECTIONS, WARM_UP_CONNECTIONS, WARM_UP_SECONDS, Plan
from bench.prepared import pushes
from bench.results import Cell, Sample
from tests.support.token_issuer import AUDIENCE, EMAIL, TokenIssuer

FASTEST_PER_SECOND = 5_000


def settings(issuer: TokenIssuer) -> Mapping[str, str]:
    """Return a worker's settings: it verifies tokens and remembers events."""
    return {
        "PUSH_AUTH": "oidc",
        "PUSH_AUDIENCE": AUDIENCE,
        "PUSH_SERVICE_ACCOUNT": EMAIL,
        "PUSH_CERTIFICATES_URL": issuer.url,
        "HANDLERS_PACKAGE": "bench.handlers",
    }


def measure(plan: Plan) -> Iterator[Sample]:
    """Yield one round, the worker and the no-op view in turn."""
    with ExitStack() as stack:
        issuer = stack.enter_context(TokenIssuer().published())
        services = _started(issuer, plan, stack)
        token, first, answered = issuer.token(), 0, 0
        for connections in (WARM_UP_CONNECTIONS, *CONNECTIONS):
            seconds = plan.seconds if connections in CONNECTIONS else WARM_UP_SECONDS
            # New events each time: one that is sent again is a duplicate, and no handler runs.
            numbers = range(first, first + FASTEST_PER_SECOND * seconds)
            prepared, first = pushes(plan.folder / "pushes", numbers=numbers, token=token), numbers.stop
            for name, url in services.items():
                load = wrk.closed_loop(url, prepared, connections=connections, seconds=seconds, folder=plan.folder)
                answered += len(load.message_ids) if name == WORKER.name else 0
                if connections in CONNECTIONS:
                    yield Sample(cell=Cell(part="pushes", contestant=name, connections=connections), values=load.values)
        _check_handled(plan, answered)


def _started(issuer: TokenIssuer, plan: Plan, stack: ExitStack) -> dict[str, str]:
    """Start both; return the URL of each."""
    topic_path = stack.enter_context(arrivals(plan.pubsub_host)).topic_path
    host, folder, urls = plan.pubsub_host, plan.folder, {}
    for contestant in (WORKER, NOOP_WORKER):
        configured = replace(contestant, settings=settings(issuer))
        service = running(configured, topic_path=topic_path, pubsub_host=host, folder=folder)
        urls[contestant.name] = stack.enter_context(service).url
    return urls


def _check_handled(plan: Plan, answered: int) -> None:
    """Raise BenchError unless each 204 stands for one event that the worker says it handled."""
    lines = [line for line in (plan.folder / f"{WORKER.name}.log").read_text().splitlines() if line.startswith("{")]
    outcomes = [entry["outcome"] for entry in map(json.loads, lines) if entry.get("line") == "delivery"]
    handled = outcomes.count("handled")
    if handled != len(outcomes) or handled < answered:
        raise BenchError(f"the worker acknowledged {answered} events; of {len(outcomes)} lines {handled} say handled")
