"""`python -m relay dead-letters`: see what nobody could handle, and bring it back or remove it."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relay.cli.times import Duration, shown_duration
from relay.settings.commands import ToolSettings

if TYPE_CHECKING:
    from relay.pubsub.dead_letters import DeadLetter, DeadLetters

F = TypeVar("F", bound=Callable[..., object])

MAX_SHOWN = 20
MAX_CELL = 60


@click.group(
    name="dead-letters",
    epilog="Examples: relay dead-letters list --reason timeout   relay dead-letters redrive --order ORD-1001 --dry-run",
)
def dead_letters() -> None:
    """List, show, redrive or discard what nobody could handle.

    ID is a dead letter's message id, or the first characters of an event id. While a command runs, nobody else sees
    the dead letters that it holds.
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
            click.option("--limit", default=0, help="Look at this many at most; 0 looks at all."),
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
            click.echo(json.dumps([_as_json(letter) for letter in held.letters], indent=2))
            return
        _print_table(held.letters)
        click.echo(f"{len(held.letters)} dead letters")


@dead_letters.command()
@click.argument("id_", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def show(*, id_: str, as_json: bool) -> None:
    """Show one dead letter with its content."""
    with _held({"ids": (id_,)}) as held:
        if not held.letters:
            click.echo(f"No dead letter has the id {id_}. List them: python -m relay dead-letters list", err=True)
            sys.exit(1)
        if as_json:
            click.echo(json.dumps([{**_as_json(letter), **_content_of(letter)} for letter in held.letters], indent=2))
            return
        for letter in held.letters:
            _print_letter(letter)


@dead_letters.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@_filters
@click.option("--rate", default=50.0, show_default=True, help="Events a second; 0 is as fast as it goes.")
@click.option("--max-redrives", default=5, show_default=True, help="Leave what came back this often where it is.")
@click.option("--dry-run", is_flag=True, help="Only show what would be redriven.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def redrive(*, rate: float, max_redrives: int, dry_run: bool, yes: bool, as_json: bool, **filters: Any) -> None:
    """Bring dead letters back to the topic.

    Only the handlers that have not succeeded run. Each dead letter goes away once Pub/Sub has confirmed its event.
    """
    from relay.pubsub import publisher
    from relay.pubsub.dead_letters import Ending
    from relay.pubsub.pace import Pace

    settings = ToolSettings.from_environ(os.environ)
    with _held(filters) as held:
        if not _is_wanted("redrive", held.letters, dry_run=dry_run, yes=yes, as_json=as_json):
            return
        events = publisher.connected(settings.topic_path, settings)
        pace = Pace(rate)
        redriven = held.redrive(events, pace=pace, max_redrives=max_redrives, now=lambda: datetime.now(UTC))
        with click.progressbar(redriven, length=len(held.letters), label="Redriving", file=sys.stderr) as progress:
            ends = list(progress)
    stayed = [end for end in ends if end.ending is not Ending.REDRIVEN]
    if as_json:
        shown = [{"id": end.letter.message_id, "reason": end.reason} for end in stayed]
        click.echo(json.dumps({"redriven": len(ends) - len(stayed), "stayed": shown}, indent=2))
    else:
        click.echo(f"{len(ends) - len(stayed)} redriven")
        for end in stayed:
            click.echo(f"{end.letter.message_id} (event {end.letter.delivery.event_id[:12]}): {end.reason}", err=True)
    sys.exit(1 if stayed else 0)


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
        held.discard()
        count = len(held.letters)
    click.echo(json.dumps({"discarded": count}) if as_json else f"{count} discarded")


@contextmanager
def _held(filters: dict[str, Any]) -> "Iterator[DeadLetters]":
    # Imported here, so that --help does not wait for Google's client.
    from relay.pubsub.dead_letters import DeadLetters, Filter

    settings = ToolSettings.from_environ(os.environ)
    limit = filters.pop("limit", 0)
    names = {"older_than": "older_than_seconds", "newer_than": "newer_than_seconds"}
    wanted = Filter(**{names.get(name, name): value for name, value in filters.items()})
    with DeadLetters.held(settings.dead_letter_subscription_path, wanted, now=datetime.now(UTC), limit=limit) as held:
        yield held


def _is_wanted(verb: str, letters: "Sequence[DeadLetter]", *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Show what would be touched, and return whether to go on."""
    if dry_run and as_json:
        click.echo(json.dumps([_as_json(letter) for letter in letters], indent=2))
        return False
    if not as_json:
        _print_table(letters[:MAX_SHOWN])
        more = f" ({len(letters) - MAX_SHOWN} more than shown)" if len(letters) > MAX_SHOWN else ""
        click.echo(f"{len(letters)} dead letters to {verb}{more}")
    if dry_run or not letters:
        return as_json and not dry_run
    if not yes:
        click.confirm(f"{verb.capitalize()} them?", abort=True, err=True)
    return True


def _print_table(letters: "Sequence[DeadLetter]") -> None:
    from tabulate import tabulate

    now = datetime.now(UTC)
    rows = [
        {
            "id": letter.message_id,
            "event": letter.delivery.event_id[:12],
            "event type": letter.delivery.event_type,
            "order": letter.delivery.ordering_key,
            "age": shown_duration(letter.age_seconds(now)),
            "attempts": "" if letter.attempts is None else letter.attempts,
            "redrives": letter.redrives,
            "handler": letter.handler,
            "reason": _cut(letter.reason),
        }
        for letter in letters
    ]
    if rows:
        click.echo(tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True))


def _print_letter(letter: "DeadLetter") -> None:
    for name, value in _as_json(letter).items():
        click.echo(f"{name:<16}{value}")
    content = _content_of(letter)
    shown = json.dumps(content["content"], indent=2, ensure_ascii=False) if "content" in content else content["text"]
    click.echo(f"\n{shown}\n")


def _as_json(letter: "DeadLetter") -> dict[str, Any]:
    delivery = letter.delivery
    return {
        "id": letter.message_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "order_id": delivery.ordering_key,
        "reason": letter.reason,
        "handler": letter.handler,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "received_at": delivery.received_at.isoformat(),
        "dead_letter_at": letter.pulled.published_at.isoformat(),
        "age_seconds": round(letter.age_seconds(datetime.now(UTC))),
    }


def _content_of(letter: "DeadLetter") -> dict[str, Any]:
    """Return the body as JSON where it is, else as text with what cannot be shown escaped."""
    body = letter.delivery.body
    try:
        return {"content": json.loads(body)}
    except (ValueError, RecursionError):
        return {"text": body.decode(errors="backslashreplace")}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 3]}..."
