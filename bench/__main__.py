"""`python -m bench`: what `make bench` runs."""

import os
import sys
import tempfile
from contextlib import ExitStack, chdir
from datetime import UTC, datetime
from pathlib import Path

import click

from bench import machine, receivers, tables, wrk
from bench.errors import BenchError
from bench.plan import Plan
from bench.results import Results
from relay.errors import ConfigurationError
from relay.local.emulator import PUBSUB, Emulator
from relay.local.processes import free_port

RESULTS = Path(__file__).parent / "results"
PARTS = {"receivers": receivers.measure}


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
    add: bool,
    folder: Path,
) -> None:
    wrk.find()
    file = folder / "results.json"
    results = Results.read(file) if add and file.exists() else Results(machine=machine.describe())
    plan = Plan(rounds=rounds, seconds=seconds, connections=connections, only=only)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        # gunicorn reads ./gunicorn.conf.py, and the peers must not get ours.
        stack.enter_context(chdir(work))
        emulator = stack.enter_context(Emulator.start(PUBSUB, port=free_port(), output=work / "emulator.log"))
        # Google's client reads it from the environment of its process.
        os.environ["PUBSUB_EMULATOR_HOST"] = emulator.host
        for part in parts:
            for sample in PARTS[part](plan, work):
                results.samples.append(sample)
                shown = " ".join(f"{name}={value:.2f}" for name, value in sample.values.items())
                click.echo(f"{datetime.now(UTC):%H:%M:%S} {sample.cell.contestant} {sample.cell.connections}: {shown}")
    results.write(file)
    click.echo(f"\n{tables.receivers(results, style='simple')}\n\n{tables.bounds(results, style='simple')}")


def main() -> None:
    """Run; exit status 1 if the figures would be worth nothing, 2 for wrong use or a missing program."""
    try:
        bench()
    except (BenchError, ConfigurationError) as error:
        click.echo(error, err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
