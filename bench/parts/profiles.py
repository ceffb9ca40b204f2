"""A service under load and under py-spy. No part of a full run: sampling costs what it shows."""

import threading
from dataclasses import replace
from pathlib import Path

from bench import profile, wrk
from bench.arrivals import arrivals
from bench.contestants import RECEIVERS, WORKERS, running
from bench.parts.pushes import settings
from bench.prepared import Prepared, pushes, webhooks
from tests.support.token_issuer import TokenIssuer

NAMES = [contestant.name for contestant in (*RECEIVERS, *WORKERS)]
BODY_BYTES = 200
FASTEST_PER_SECOND = 8_000
LOAD_AROUND_SECONDS = 2


def of(name: str, *, connections: int, seconds: int, folder: Path) -> profile.Profile:
    """Return the profile of a contestant."""
    contestant = next(contestant for contestant in (*RECEIVERS, *WORKERS) if contestant.name == name)
    with TokenIssuer().published() as issuer, arrivals() as arrived:
        is_worker = contestant in WORKERS
        if is_worker:
            contestant = replace(contestant, settings=settings(issuer, handlers=1))
        prepared = _prepared(folder, issuer, seconds, is_worker=is_worker)
        with running(contestant, topic_path=arrived.topic_path, folder=folder) as service:

            def send() -> None:
                duration = seconds + LOAD_AROUND_SECONDS
                wrk.closed_loop(service.url, prepared, connections=connections, seconds=duration, folder=folder)

            sender = threading.Thread(target=send)
            sender.start()
            found = profile.sample(service.child.pid, seconds=seconds, folder=folder)
            sender.join()
    return found


def _prepared(folder: Path, issuer: TokenIssuer, seconds: int, *, is_worker: bool) -> Prepared:
    count = round(FASTEST_PER_SECOND * (seconds + LOAD_AROUND_SECONDS))
    if is_worker:
        return pushes(folder / "pushes", first=0, count=count, body_bytes=BODY_BYTES, token=issuer.token())
    return webhooks(folder / "webhooks", count=count, body_bytes=BODY_BYTES)
