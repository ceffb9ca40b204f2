"""`python -m bench`: what `make bench` runs."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, chdir
from datetime import UTC, datetime
from pathlib import Path

import click

from bench import machine, tables, wrk
from bench.errors import BenchError
from bench.parts import limits, memory_store, pushes, receivers, starts
from bench.plan import Plan
from bench.results import Results, Sample
from relay.errors import ConfigurationError
from relay.local.emulator import PUBSUB, Emulator
from relay.local.processes import free_port

RESULTS = Path(__file__).parent / "results"
PARTS: dict[str, Callable[[Plan], Iterator[Sample]]] = {
    "limits": limits.measure,
    "receivers": receivers.compared,
    "steady": receivers.steady,
    "pushes": pushes.compared,
    "starts": starts.measure,
    "handlers": pushes.many_handlers,
    "two-workers": receivers.two_workers,
    "bodies": receivers.large_bodies,
    "store": memory_store.measure,
}
CAUTION = """
CAUTION: Pub/Sub refuses a PublishRequest whose messages have different ordering keys (API reference of PubsubMessage:
"All PubsubMessages published in a given PublishRequest must specify the same ordering_key value"; the service answers
FAILED_PRECONDITION). The emulator takes it, and the group commit sends it. These figures hold for the emulator only."""
ONCE = ("starts", "store")
"""Parts that repeat by themselves, or need no rounds."""


def _numbers(_: click.Context, __: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter("is not a list of numbers like 1,8,64") from None


def _names(_: click.Context, __: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


@click.command()
@click.option("--parts", default=",".join(PARTS), callback=_names, show_default=True, help="What to measure.")
@click.option("--only", default="", callback=_names, help="Only these contestants, comma separated.")
@click.option("--connections", default="1,8,64,256", callback=_numbers, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Of each measurement.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--starts", default=10, show_default=True, help="How many cold starts of each service.")
@click.option("--add", is_flag=True, help="Add to the last result instead of replacing it.")
@click.option(
    "--results",
    "folder",
    default=RESULTS,
    type=click.Path(path_type=Path, resolve_path=True),
    help="Where results are kept.",
)
def bench(  # noqa: D103 - click would show a docstring's details as help
    *,
    parts: tuple[str, ...],
    only: tuple[str, ...],
    connections: tuple[int, ...],
    seconds: float,
    rounds: int,
    starts: int,
    add: bool,
    folder: Path,
) -> None:
    wrk.find()
    file = folder / "results.json"
    results = Results.read(file) if add and file.exists() else Results(machine=machine.describe())
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        # gunicorn reads ./gunicorn.conf.py, and the peers must not get ours.
        stack.enter_context(chdir(work))
        emulator = stack.enter_context(Emulator.start(PUBSUB, port=free_port(), output=work / "emulator.log"))
        # Google's client reads it from the environment of its process.
        os.environ["PUBSUB_EMULATOR_HOST"] = emulator.host
        plan = Plan(rounds=rounds, seconds=seconds, connections=connections, starts=starts, only=only, folder=work)
        for sample in _samples(plan, parts):
            results.samples.append(sample)
            click.echo(_progress(sample))
    results.write(file)
    for text in tables.shown(results, style="simple", heading="\n"):
        click.echo(text)
    click.echo(CAUTION)


def _samples(plan: Plan, parts: tuple[str, ...]) -> Iterator[Sample]:
    for part in parts:
        for _ in range(1 if part in ONCE else plan.rounds):
            yield from PARTS[part](plan)


def _progress(sample: Sample) -> str:
    conditions = sample.cell.model_dump(exclude_defaults=True)
    figures = {name: f"{value:.3g}" for name, value in sample.values.items()}
    return f"{datetime.now(UTC):%H:%M:%S} {_pairs(conditions)}: {_pairs(figures)}"


def _pairs(values: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def main() -> None:
    """Run; exit status 1 if the figures would be worth nothing, 2 for wrong use or a missing program."""
    try:
        bench()
    except (BenchError, ConfigurationError) as error:
        click.echo(error, err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
