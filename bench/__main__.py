"""`python -m bench`: `measure` is `make bench`, `report` shows the last result again, `profile` where the time goes."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from bench import machine, report, wrk
from bench.errors import BenchError
from bench.parts import limits, memory_store, profiles, pushes, receivers, starts
from bench.plan import Plan
from bench.results import Results, Sample
from relay.errors import ConfigurationError
from relay.local.emulator import PUBSUB, Emulator
from relay.local.processes import free_port

RESULTS = Path(__file__).parent / "results"
PARTS: dict[str, Callable[[Plan], Iterator[Sample]]] = {
    "limits": limits.measure,
    "receivers": receivers.compared,
    "without-order": receivers.without_order,
    "steady": receivers.steady,
    "pushes": pushes.compared,
    "starts": starts.measure,
    "handlers": pushes.many_handlers,
    "two-workers": receivers.two_workers,
    "bodies": receivers.large_bodies,
    "store": memory_store.measure,
}
ONCE = ("starts", "store")
"""Parts that repeat by themselves, or whose figures are averages over thousands already."""


results_folder = click.option(
    "--results",
    "folder",
    default=RESULTS,
    type=click.Path(path_type=Path, resolve_path=True),
    help="Where the results are kept.",
)


@click.group()
def bench() -> None:
    """Measure the relay against what people usually build, and against the limits of this machine."""


def _names(_: click.Context, __: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _parts(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    parts = _names(context, parameter, text)
    if unknown := [part for part in parts if part not in PARTS]:
        raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(PARTS)}")
    return parts


def _numbers(_: click.Context, __: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter("is not a list of numbers such as 1,8,64") from None


@bench.command()
@click.option("--parts", default=",".join(PARTS), callback=_parts, show_default=True, help="What to measure.")
@click.option("--only", default="", callback=_names, help="These contestants only, comma separated.")
@click.option("--connections", default="1,8,64,256", callback=_numbers, show_default=True)
@click.option("--seconds", default=5, show_default=True, help="Of each measurement under load.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--starts", default=10, show_default=True, help="Cold starts of each service.")
@click.option("--quick", is_flag=True, help="One short round of the parts that the bounds need; about 3 minutes.")
@click.option("--add", is_flag=True, help="Replace what is measured anew in the results, and keep the rest.")
@results_folder
def measure(  # noqa: PLR0913 - one for each option
    *,
    parts: tuple[str, ...],
    only: tuple[str, ...],
    connections: tuple[int, ...],
    seconds: int,
    rounds: int,
    starts: int,
    quick: bool,
    add: bool,
    folder: Path,
) -> None:
    """Measure, print the tables, keep the results and the plot."""
    wrk.find()
    if quick:
        parts, connections, seconds, rounds, starts = tuple(PARTS)[:6], (1, 64), 3, 1, 5
    file = folder / "results.json"
    results = Results.read(file) if add and file.exists() else Results(machine={})
    results.machine = machine.joined(results.machine, machine.describe())
    with _emulator() as work:
        plan = Plan(rounds=rounds, seconds=seconds, connections=connections, starts=starts, only=only, folder=work)
        limits.warm_emulator(plan)
        known = {sample.cell for sample in results.samples}
        for sample in _samples(plan, parts):
            if sample.cell in known:
                known.discard(sample.cell)
                results.forget(sample.cell)
            results.samples.append(sample)
            click.echo(_progress(sample))
    results.write(file)
    report.draw(file)
    report.show(results)


@bench.command("report")
@click.option("--readme", is_flag=True, help="Put the tables into bench/README.md.")
@results_folder
def show(*, readme: bool, folder: Path) -> None:
    """Show the last result again."""
    results = Results.read(folder / "results.json")
    if readme:
        report.draw(folder / "results.json")
        report.write_readme(results)
    else:
        report.show(results)


@bench.command()
@click.argument("contestant", type=click.Choice(profiles.NAMES))
@click.option("--connections", default=1, show_default=True)
@click.option("--seconds", default=8, show_default=True)
def profile(*, contestant: str, connections: int, seconds: int) -> None:
    """Show where a service's time goes under a closed loop."""
    wrk.find()
    with _emulator() as work:
        found = profiles.of(contestant, connections=connections, seconds=seconds, folder=work)
    for title, shares in (("in a package's own code", found.packages), ("in a function and below", found.functions)):
        click.echo(f"\n{title}")
        for name, share in list(shares.items())[:40]:
            click.echo(f"{share:6.1%} {name}")


@contextmanager
def _emulator() -> Iterator[Path]:
    """Run an emulator of our own in a folder of our own, and give the folder."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        # gunicorn reads ./gunicorn.conf.py, and the peers must not get ours.
        stack.enter_context(chdir(work))
        environ = {name: value for name, value in os.environ.items() if name != PUBSUB.variable}
        started = Emulator.start(PUBSUB, port=free_port(), output=work / "emulator.log", environ=environ)
        # Google's client reads it from the environment of its process.
        os.environ[PUBSUB.variable] = stack.enter_context(started).host
        yield work


def _samples(plan: Plan, parts: tuple[str, ...]) -> Iterator[Sample]:
    for round_ in range(plan.rounds):
        for part in parts:
            if round_ == 0 or part not in ONCE:
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
