"""What is shown of the results: on the terminal, in README.md, and as a plot."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

from bench import model, tables
from bench.contestants import PEERS
from bench.errors import BenchError
from bench.results import Results
from relay.local.services import ROOT

README = Path(__file__).parent / "README.md"
INSTANCES = (1, 2, 5, 10)

_GENERATED = re.compile(r"(?<=<!-- generated -->\n).*(?=<!-- end -->)", re.DOTALL)


def show(results: Results) -> None:
    """Print all tables."""
    for text in (*tables.shown(results, style="simple", heading="\n"), *_model(results, style="simple", heading="\n")):
        click.echo(text)


def write_readme(results: Results) -> None:
    """Put the tables into README.md, in place of those that stand there."""
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    parts = [
        f"Measured on: {machine}.",
        *tables.shown(results, style="github", heading="### "),
        *_model(results, style="github", heading="### "),
    ]
    text = "\n\n".join(parts)
    README.write_text(_GENERATED.sub(lambda _: f"\n{text}\n\n", README.read_text()))


def draw(file: Path) -> None:
    """Write the plot beside the results. Raises BenchError if matplotlib fails."""
    command = [str(PEERS / "python"), "-m", "bench.plot", str(file), str(file.parent)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise BenchError(f"the plot failed: {ended.stderr.strip().splitlines()[-1:]}")


def _model(results: Results, *, style: str, heading: str) -> Iterator[str]:
    try:
        measured = model.Measured.of(results)
    except LookupError:
        return
    assumed = model.Assumptions()
    cpu = {"receiver": measured.receiver_cpu_seconds, "worker, one handler": measured.worker_cpu_seconds}
    rows = [
        [service, *(f"{model.webhooks_per_second(seconds, count, assumed):,.0f}" for count in INSTANCES)]
        for service, seconds in cpu.items()
    ]
    heads = ["events a second on", *(f"{count} instance{'s' if count > 1 else ''}" for count in INSTANCES)]
    yield f"{heading}On paper: N instances on Cloud Run\n\n{tables.table(rows, heads, style=style)}"
    busy = dict(model.costs(measured, assumed, is_busy=True))
    alone = dict(model.costs(measured, assumed, is_busy=False))
    rows = [[item, f"{busy[item]:.2f}", f"{alone[item]:.2f}"] for item in busy]
    rows.append(["together", f"{sum(busy.values()):.2f}", f"{sum(alone.values()):.2f}"])
    heads = ["US dollars", "instances busy", "each webhook alone"]
    yield f"{heading}On paper: a million webhooks\n\n{tables.table(rows, heads, style=style)}"
    yield f"One OneStock webhook, which sends one message at a time: {_feed(measured, assumed)}."
    yield f"Assumed, not measured: {_assumptions(assumed)}."


def _feed(measured: model.Measured, assumed: model.Assumptions) -> str:
    return (
        f"1 / ({measured.own_seconds * 1000:.2f} ms of ours + {assumed.publish_seconds * 1000:g} ms to publish) = "
        f"{model.feed_per_second(measured, assumed):.0f} messages a second, less what the network takes"
    )


def _assumptions(assumed: model.Assumptions) -> str:
    """Return the assumptions as one sentence, for people who check them."""
    parts = (
        f"Cloud Run at {assumed.vcpu_second:.6f} a vCPU-second, {assumed.gib_second:.7f} a GiB-second",
        f"{assumed.million_requests:.2f} a million requests (request-based billing, tier 1)",
        f"each instance's time rounded up to {assumed.billed_seconds:g} s",
        f"instances of {assumed.vcpus:g} vCPU as quick as a core here and {assumed.memory_gib:g} GiB",
        f"loaded to {assumed.usable:.0%}",
        f"a publish in {assumed.publish_seconds * 1000:g} ms",
        f"Pub/Sub at {assumed.pubsub_tib:g} a TiB and {assumed.pubsub_min_bytes:,.0f} bytes a request at least",
        f"Firestore at {assumed.firestore_writes * 100_000:.2f} for 100,000 writes",
        f"{assumed.firestore_deletes * 100_000:.2f} for 100,000 deletes",
        f"{assumed.writes_of_a_run} writes and a delete for each run of a handler",
        f"Cloud Logging at {assumed.logging_gib:.2f} a GiB",
        "no free tier",
    )
    return ", ".join(parts)
