"""The benchmark's arithmetic, its proxy, and that bench/README.md says what was measured. No test measures."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import prepared, report, wrk
from bench.__main__ import RESULTS
from bench.bounds import BOUNDS, judged
from bench.errors import BenchError
from bench.prepared import HASH_KEY
from bench.proxy import delaying
from bench.results import Cell, Results, Sample, percentiles
from relay.receiver import signature
from relay.settings.receiver import SignedString

CLOSED = '{"seconds": 2, "refused": 0, "broken": 0, "latencies_ms": {"p50_ms": 1.5, "max_ms": 5}}\n11\n12\n13\n'
STEADY = '{"seconds": 2, "refused": 0, "broken": 0}\n11 3.000\n12 1.000\n13 2.000\n'


def measured(value: float = 1, **of_contestants: float) -> Results:
    """Return one round in which each value is `value`, but for those of the contestants named."""
    cells: dict[Cell, dict[str, float]] = {}
    for bound in BOUNDS:
        for cell, name in bound.of:
            cells.setdefault(cell, {})[name] = of_contestants.get(cell.contestant, value)
    samples = [Sample(cell=cell, values=values) for cell, values in cells.items()]
    return Results(machine={"processor": "invented"}, samples=samples)


def figures(results: Results) -> dict[str, float]:
    return {judgement.bound.text: round(judgement.median, 2) for judgement in judged(results)}


def test_a_percentile_is_a_latency_that_was_measured() -> None:
    found = percentiles([float(number) for number in range(1000, 0, -1)])

    assert found == {"p50_ms": 500, "p90_ms": 900, "p99_ms": 990, "max_ms": 1000}


def test_a_closed_loop_keeps_the_message_id_of_each_answer() -> None:
    load = wrk.parse(CLOSED)

    assert load.message_ids == ["11", "12", "13"]
    assert load.values == {"per_second": 1.5, "answered": 3, "p50_ms": 1.5, "max_ms": 5}


def test_a_steady_rate_has_its_percentiles_from_the_single_latencies() -> None:
    load = wrk.parse(STEADY)

    assert load.message_ids == ["11", "12", "13"]
    assert (load.values["p50_ms"], load.values["max_ms"]) == (2.0, 3.0)


@pytest.mark.parametrize(
    "text",
    [
        STEADY.replace('"refused": 0', '"refused": 1'),
        STEADY.replace('"broken": 0', '"broken": 1'),
        STEADY.splitlines()[0],
    ],
)
def test_a_load_with_a_failed_answer_or_none_at_all_ends_the_run(text: str) -> None:
    with pytest.raises(BenchError, match="not every answer was a 2xx"):
        wrk.parse(text)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = measured()

    results.write(tmp_path / "new" / "results.json")

    assert Results.read(tmp_path / "new" / "results.json") == results


def test_each_figure_is_made_of_the_measurements_that_it_names() -> None:
    found = figures(
        measured(receiver=30, worker=6, sample=5, fastapi=20, noop=8, rpc=2, proxy=90, **{"noop-worker": 3})
    )

    assert found == {
        "15 ms, 1 connection: answers/s / FastAPI's": 1.5,
        "15 ms, 1 connection: answers/s / the sample's": 6,
        "15 ms, 80 connections: answers/s / the sample's": 6,
        "15 ms, 200/s: p99 / (twice that of the RPC alone + 10 ms)": 2.14,
        "no delay, 1 connection: median / (that of the no-op view + that of the RPC alone)": 3,
        "no delay, 1 connection: the sample's median / ours": 0.17,
        "1 connection: pushes/s / those of the no-op view": 2,
        "8 connections: pushes/s / those of the no-op view": 2,
        "80 connections: pushes/s / those of the no-op view": 2,
        "cold start to the first 202 / the bare import": 30,
        "memory after the first 202 / the bare import's": 30,
        "15 ms, 80 connections: what the proxy carries / the quickest contestant's answers/s": 3,
    }


def test_measurements_are_compared_within_their_round_and_the_median_round_decides() -> None:
    rounds = [measured(receiver=10, sample=1), measured(receiver=30, sample=10), measured(receiver=100, sample=50)]

    found = figures(Results(machine={}, samples=[sample for one in rounds for sample in one.samples]))

    assert found["15 ms, 80 connections: answers/s / the sample's"] == 3


def test_a_bound_that_is_missed_is_named_and_fails_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    status = report.show(measured(receiver=0.9))

    shown = capsys.readouterr().out
    assert status == 1
    assert "15 ms, 1 connection: answers/s / FastAPI's: 0.90 (0.90 to 0.90), at least 0.95: MISSED" in shown
    assert "memory after the first 202 / the bare import's: 0.90 (0.90 to 0.90), at most 1.45: reached" in shown


def test_the_command_succeeds_when_every_bound_that_was_measured_is_reached() -> None:
    results = measured(receiver=3, fastapi=3, sample=0.5, proxy=9)
    results.samples = [sample for sample in results.samples if sample.cell.delay_ms == 15]

    assert report.show(results) == 0


def test_the_readme_shows_the_results_that_are_kept() -> None:
    readme = report.README.read_text()

    assert report.with_figures(readme, Results.read(RESULTS / "results.json")) == readme


def test_the_results_that_are_kept_have_a_figure_for_each_bound() -> None:
    results = Results.read(RESULTS / "results.json")

    assert [judgement.bound for judgement in judged(results)] == list(BOUNDS)


def test_prepared_webhooks_are_signed_and_different(tmp_path: Path) -> None:
    webhooks = prepared.webhooks(tmp_path / "webhooks", count=3)

    head, _, body = webhooks.first.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    signed = fields[signature.HEADER]
    timestamp = int(signed.partition(",")[0].removeprefix("t="))
    assert webhooks.file.read_bytes().count(b"Content-Length: 200\r\n") == 3
    assert webhooks.file.read_bytes().count(body) == 1
    signature.verify(
        signed,
        body,
        keys=[HASH_KEY],
        signed_string=SignedString.TIMESTAMP_BODY,
        tolerance_seconds=0,
        now=timestamp,
    )


@pytest.fixture
def echo() -> Iterator[str]:
    """Give the host:port of a server that sends back what it gets."""

    class Echo(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(65_536):
                self.request.sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_proxy_delays_all_pieces_on_one_connection_at_once_and_keeps_their_order(echo: str, tmp_path: Path) -> None:
    pieces = [b"%04d" % number for number in range(50)]
    with delaying(echo, delay_ms=400, folder=tmp_path) as host:
        port = int(host.partition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, connection.makefile("rb") as came:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            started = time.monotonic()
            for piece in pieces:
                connection.sendall(piece)
            read = came.read(4 * len(pieces))
            seconds = time.monotonic() - started

    assert read == b"".join(pieces)
    assert 0.4 <= seconds < len(pieces) * 0.4 / 2
