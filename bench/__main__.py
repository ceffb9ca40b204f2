"""`python -m bench`: `measure` is `make bench`, `report` is `make bench-report`."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import replace
from pathlib import Path

import click

from bench import answers, machine, pushes, report, starts, wrk
from bench.errors import BenchError
from bench.plan import Plan
from bench.results import Results, Sample
from relay.errors import ConfigurationError
from relay.local.emulator import PUBSUB, Emulator
from relay.local.processes import free_port

RESULTS = Path(__file__).parent / "results"
PARTS: dict[str, Callable[[Plan], Iterator[Sample]]] = {
    "answers": answers.measure,
    "pushes": pushes.measure,
    "starts": starts.measure,
}

results_folder = click.option(
    "--results",
    "folder",
    default=RESULTS,
    type=click.Path(path_type=Path, resolve_path=True),
    help="Where they are kept.",
)


@click.group()
def bench() -> None:
    """Measure the relay against what people usually build, and against the limits of this machine."""


@bench.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Measure this only; repeatable.")
@click.option("--seconds", default=2, show_default=True, help="Of each measurement under load.")
@click.option("--rounds", default=3, show_default=True)
@results_folder
def measure(*, parts: tuple[str, ...], seconds: int, rounds: int, folder: Path) -> None:
    """Measure, keep results and plot, print the table and the bounds. Exits with 1 if a bound is missed."""
    wrk.find()
    results = Results(machine=machine.describe())
    with _plan(seconds) as plan:
        # The first contestant must not pay for what the emulator's Java compiler does at first.
        next(answers.measure(replace(plan, seconds=1)))
        for number in range(rounds):
            for part in parts or PARTS:
                for sample in PARTS[part](plan):
                    results.samples.append(sample)
                    click.echo(f"round {number + 1}: {sample}")
    results.machine["load average after"] = machine.load_average()
    results.write(folder / "results.json")
    report.draw(folder / "results.json")
    sys.exit(report.show(results))


@bench.command("report")
@results_folder
def write_report(*, folder: Path) -> None:
    """Put the last results into bench/README.md, and print them."""
    results = Results.read(folder / "results.json")
    report.README.write_text(report.with_figures(report.README.read_text(), results))
    report.show(results)


@contextmanager
def _plan(seconds: int) -> Iterator[Plan]:
    """Run an emulator of our own, whatever runs already, in a folder of our own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        # gunicorn reads ./gunicorn.conf.py, and the peers must not get ours.
        stack.enter_context(chdir(folder))
        environ = {name: value for name, value in os.environ.items() if name != PUBSUB.variable}
        started = Emulator.start(PUBSUB, port=free_port(), output=folder / "emulator.log", environ=environ)
        yield Plan(seconds=seconds, pubsub_host=stack.enter_context(started).host, folder=folder)


if __name__ == "__main__":
    try:
        bench(prog_name="python -m bench")
    except (BenchError, ConfigurationError) as error:
        sys.exit(str(error))
