"""`relay dead-letters`: see what nobody could handle, and bring it back or remove it."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relay.cli import dead_letter_output as output
from relay.cli.documents import print_json
from relay.cli.interrupts import stopping
from relay.cli.tables import counted
from relay.cli.times import Duration, Rate
from relay.settings.commands import ToolSettings

if TYPE_CHECKING:
    from relay.pubsub.dead_letters import DeadLetter, HeldDeadLetters
    from relay.pubsub.redrive import Redrive, Redriven, RedriveRules

F = TypeVar("F", bound=Callable[..., object])


@click.group(
    name="dead-letters",
    epilog=(
        "\b\nExamples:\n"
        "  relay dead-letters list --reason timeout\n"
        "  relay dead-letters redrive --order ORD-1001 --dry-run"
    ),
)
def dead_letters() -> None:
    """List, show, redrive or discard what nobody could handle.

    ID is a dead letter's message id or an event id: the whole id, or at least its first 6 characters where no other id
    begins with them. An event has one dead letter for each handler that rejected it.

    While a command runs, nobody else sees the dead letters that it has chosen. Pub/Sub cannot say that a subscription
    is empty: a command takes it for empty when several pulls have brought nothing for 5 seconds.
    """


def _filters(command: F) -> F:
    """Add the options that choose dead letters."""
    for option in reversed(
        [
            click.option("--event-type", help="Only this event type."),
            click.option("--order", "order_id", help="Only this order id."),
            click.option("--reason", help="Only reasons that contain this text."),
            click.option("--handler", help="Only what this handler rejected."),
            click.option("--older-than", type=Duration(), help="Only dead letters older than this, such as 2h."),
            click.option("--newer-than", type=Duration(), help="Only dead letters newer than this."),
            click.option(
                "--limit",
                type=click.IntRange(min=1),
                help="Take this many at most, the oldest events first; all if left out.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts."),
        ]
    ):
        command = option(command)
    return command


@dead_letters.command(name="list")
@_filters
def list_(*, as_json: bool, **filters: Any) -> None:
    """Show a table of the dead letters, oldest event first."""
    with _held(filters) as held:
        if as_json:
            print_json([output.json_of(letter) for letter in held.letters])
            return
        output.print_table(held.letters)
        click.echo(counted(len(held.letters), "dead letter"))
        if any(not letter.rejected_by for letter in held.letters):
            click.echo("why: relay failures")


@dead_letters.command()
@click.argument("id_", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def show(*, id_: str, as_json: bool) -> None:
    """Show one dead letter, or all those of one event, with the content."""
    with _held({"ids": (id_,)}) as held:
        if as_json:
            print_json([{**output.json_of(letter), **output.content_of(letter)} for letter in held.letters])
            return
        for letter in held.letters:
            output.print_letter(letter)


@dead_letters.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@_filters
@click.option(
    "--rate",
    type=Rate(),
    default=50.0,
    show_default=True,
    help="Events a second; 0 is as fast as it goes.",
)
@click.option("--max-redrives", default=5, show_default=True, help="Leave what came back this often where it is.")
@click.option(
    "--forgotten-too",
    is_flag=True,
    help="Redrive events, too, that are so old that the worker may run handlers again that have succeeded.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be redriven.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def redrive(
    *, rate: float, max_redrives: int, forgotten_too: bool, dry_run: bool, yes: bool, as_json: bool, **filters: Any
) -> None:
    """Bring dead letters back to the topic.

    Only handlers that have not succeeded run; where one handler rejected the event, only that one. A dead letter goes
    away once Pub/Sub has confirmed its event. Several orders are redriven side by side, the events of one order in
    sequence. Ctrl-C ends the redrive after the publishes that are under way, and the command says what it has done.
    """
    from relay.pubsub import publisher
    from relay.pubsub.redrive import Redrive, RedriveRules

    rules = RedriveRules(max_redrives=max_redrives, forgotten_too=forgotten_too)
    settings = ToolSettings.from_environ(os.environ)
    with _held(filters) as held:
        if not _is_wanted("redrive", held.letters, dry_run=dry_run, yes=yes, as_json=as_json, rules=rules):
            return
        run = Redrive(
            held.subscription,
            publisher.connected(settings.topic_path, settings),
            rules=rules,
            per_second=rate,
            now=lambda: datetime.now(UTC),
        )
        ends = _run_to_the_end(run, held.letters)
        output.print_redriven(ends, as_json=as_json)
    sys.exit(0 if all(end.is_gone for end in ends) else 1)


@dead_letters.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@_filters
@click.option("--dry-run", is_flag=True, help="Only show what would be discarded.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard(*, dry_run: bool, yes: bool, as_json: bool, **filters: Any) -> None:
    """Remove dead letters for good."""
    with _held(filters) as held:
        if not _is_wanted("discard", held.letters, dry_run=dry_run, yes=yes, as_json=as_json):
            return
        ends = held.discard()
        output.print_discarded(ends, as_json=as_json)
    sys.exit(1 if any(end.may_come_back for end in ends) else 0)


@contextmanager
def _held(filters: dict[str, Any]) -> "Iterator[HeldDeadLetters]":
    # Imported here, so that --help does not wait for Google's client.
    from relay.pubsub.dead_letters import Filter, HeldDeadLetters

    settings = ToolSettings.from_environ(os.environ)
    limit = filters.pop("limit", None) or 0
    names = {"older_than": "older_than_seconds", "newer_than": "newer_than_seconds"}
    wanted = Filter(**{names.get(name, name): value for name, value in filters.items()})
    if sys.stderr.isatty():
        click.echo("looking for dead letters; Pub/Sub takes about five seconds", err=True)
    with HeldDeadLetters.held(
        settings.dead_letter_subscription_path, wanted, now=datetime.now(UTC), limit=limit
    ) as held:
        yield held


def _is_wanted(
    verb: str,
    letters: "Sequence[DeadLetter]",
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    rules: "RedriveRules | None" = None,
) -> bool:
    """Show what would be touched, and return whether to go on."""
    if dry_run and as_json:
        print_json([{**output.json_of(letter), **_staying(letter, rules)} for letter in letters])
        return False
    if not (as_json and yes):
        most = len(letters) if dry_run else output.MAX_SHOWN
        output.print_chosen(verb, letters, most=most, err=as_json)
    if rules is not None:
        output.print_staying(letters, rules)
    if dry_run or not letters:
        return as_json and not dry_run
    if not yes:
        click.confirm(f"{verb.capitalize()} them?", abort=True, err=True)
    return True


def _staying(letter: "DeadLetter", rules: "RedriveRules | None") -> dict[str, str | None]:
    return {} if rules is None else {"will_stay": output.reason_to_stay(letter, rules)}


def _run_to_the_end(run: "Redrive", letters: "Sequence[DeadLetter]") -> "list[Redriven]":
    """Return what became of each dead letter; Ctrl-C stops the redrive."""
    with (
        stopping(run.stop),
        click.progressbar(run.run(letters), length=len(letters), label="Redriving", file=sys.stderr) as progress,
    ):
        return list(progress)
