"""The benchmark's own arithmetic. What it measures is no test."""

from pathlib import Path

import pytest

from bench import model, prepared, profile, wrk
from bench.errors import BenchError
from bench.percentiles import percentiles
from bench.ratios import ratios
from bench.results import Cell, Results, Sample, Spread
from relay.receiver import signature
from relay.settings.receiver import SignedString

CLOSED = (
    '{"seconds": 2.0, "refused": 0, "broken": 0, '
    '"p50_ms": 1.5, "p90_ms": 2, "p99_ms": 3, "p999_ms": 4, "max_ms": 5}\n11\n12\n13\n'
)
STEADY = '{"seconds": 2.0, "refused": 0, "broken": 0}\n3.000 11\n1.000 12\n2.000 13\n'


def sample(contestant: str, part: str = "receivers", connections: int = 1, **values: float) -> Sample:
    return Sample(cell=Cell(part=part, contestant=contestant, connections=connections), values=values)


def results(*samples: Sample) -> Results:
    return Results(machine={"processor": "invented"}, samples=list(samples))


def test_a_percentile_is_a_latency_that_was_measured() -> None:
    found = percentiles([float(number) for number in range(1000, 0, -1)])

    assert found == {"p50_ms": 500, "p90_ms": 900, "p99_ms": 990, "p999_ms": 999, "max_ms": 1000}
    assert set(percentiles([7.0]).values()) == {7.0}


def test_a_cell_that_is_measured_anew_forgets_its_old_samples_and_no_others() -> None:
    measured = results(sample("receiver", p50_ms=1), sample("receiver", connections=64, p50_ms=2))

    measured.forget(sample("receiver").cell)

    assert measured.samples == [sample("receiver", connections=64, p50_ms=2)]


def test_a_closed_loop_keeps_the_message_id_of_each_answer() -> None:
    load = wrk.parse_closed(CLOSED)

    assert load.message_ids == ["11", "12", "13"]
    assert (load.answered, load.seconds, load.latencies_ms["p999_ms"]) == (3, 2.0, 4)


def test_answers_without_a_message_id_count_as_answers() -> None:
    assert wrk.parse_closed(CLOSED.replace("11", "").replace("12", "").replace("13", "")).answered == 3


def test_a_steady_rate_has_its_percentiles_from_the_single_latencies() -> None:
    load = wrk.parse_steady(STEADY)

    assert load.message_ids == ["11", "12", "13"]
    assert (load.latencies_ms["p50_ms"], load.latencies_ms["max_ms"]) == (2.0, 3.0)


@pytest.mark.parametrize(
    "text",
    [
        STEADY.replace('"refused": 0', '"refused": 1'),
        STEADY.replace('"broken": 0', '"broken": 1'),
        STEADY.splitlines()[0],
    ],
)
def test_a_load_with_a_failed_answer_or_none_at_all_is_worth_nothing(text: str) -> None:
    with pytest.raises(BenchError, match="not every answer was a 2xx"):
        wrk.parse_steady(text)


def test_the_rounds_of_a_cell_are_condensed_to_median_and_spread() -> None:
    rounds = [sample("receiver", p50_ms=value) for value in (3.0, 1.0, 2.0)]

    [(cell, values)] = results(*rounds, sample("receiver", part="steady", p50_ms=9.0)).cells("receivers")

    assert cell.contestant == "receiver"
    assert values == {"p50_ms": Spread(median=2.0, low=1.0, high=3.0)}


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = results(sample("receiver", connections=64, per_second=100.0))

    written.write(tmp_path / "new" / "results.json")

    assert Results.read(tmp_path / "new" / "results.json") == written


def test_a_ratio_tells_whether_its_bound_is_kept_and_needs_all_its_cells() -> None:
    measured = results(
        sample("receiver", p50_ms=1.2),
        sample("noop", p50_ms=0.4),
        sample("bare-stub", p50_ms=0.6),
        sample("sample", p50_ms=12.0),
    )

    found = {ratio.name: (round(ratio.value, 2), ratio.is_reached) for ratio in ratios(measured)}

    assert found == {
        "1 connection: median / (no-op view + bare Publish RPC, stub)": (1.2, False),
        "1 connection: the usual sample's median / ours": (10.0, True),
    }


def test_prepared_webhooks_are_whole_requests_signed_and_different(tmp_path: Path) -> None:
    found = prepared.webhooks(tmp_path / "webhooks", count=3, body_bytes=200)

    data = found.file.read_bytes()
    head, _, body = data[prepared.LENGTH_DIGITS : prepared.LENGTH_DIGITS + int(data[:10])].partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert (len(found.digests), len(body), fields["Content-Length"]) == (3, 200, "200")
    signed = fields[signature.HEADER]
    timestamp = int(signed.partition(",")[0].removeprefix("t="))
    signature.verify(
        signed,
        body,
        keys=[prepared.HASH_KEY],
        signed_string=SignedString.TIMESTAMP_BODY,
        tolerance_seconds=0,
        now=timestamp,
    )


def test_a_million_webhooks_that_come_alone_are_billed_a_rounded_up_instance_each() -> None:
    assumed = model.Assumptions(vcpu_second=1.0, gib_second=0.0, billed_seconds=0.1, vcpus=1.0, usable=0.5)
    measured = model.Measured(
        receiver_cpu_seconds=0.001,
        worker_cpu_seconds=0.002,
        receiver_log_bytes=0,
        worker_log_bytes=0,
        own_seconds=0.001,
    )

    alone = dict(model.costs(measured, assumed, is_busy=False))
    busy = dict(model.costs(measured, assumed, is_busy=True))

    assert alone["Cloud Run, receiver: instances"] == pytest.approx(100_000)
    assert busy["Cloud Run, receiver: instances"] == pytest.approx(2_000)
    assert model.webhooks_per_second(0.001, 2, assumed) == pytest.approx(1_000)


def test_a_profile_adds_up_whole_functions_and_each_package_alone() -> None:
    stacks = [
        "handle (/v/lib/python3.11/site-packages/gunicorn/a.py:1);relay (/app/relay/receiver/webhook.py:2) 3",
        "handle (/v/lib/python3.11/site-packages/gunicorn/a.py:9) 1",
    ]

    found = profile.added_up(stacks)

    assert found.functions == {"gunicorn: handle": 1.0, "relay/receiver/webhook.py: relay": 0.75}
    assert found.packages == {"relay/receiver/webhook.py": 0.75, "gunicorn": 0.25}
