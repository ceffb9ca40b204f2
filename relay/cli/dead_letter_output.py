"""What `relay dead-letters` prints: tables and text for people, JSON for scripts."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from relay.cli.documents import print_json
from relay.cli.tables import NO_LIMIT, as_rows, counted, fits, say, table
from relay.cli.times import shown_duration
from relay.local.display import width_of

if TYPE_CHECKING:
    from relay.pubsub.dead_letters import DeadLetter, Discarded
    from relay.pubsub.redrive import Redriven, RedriveRules

MAX_SHOWN = 20
MAX_CELL = 60
MAX_BELOW = 130
"""Characters of a reason that stands below its row: two lines of 80."""


def print_redriven(ends: "Sequence[Redriven]", *, as_json: bool) -> None:
    """Say how many were redriven, and for each reason which were not."""
    redriven = sum(end.is_published for end in ends)
    left = [end for end in ends if not end.is_gone]
    if as_json:
        stayed = [{**_ids_of(end.letter), "ending": end.ending, "reason": end.reason} for end in left]
        print_json({"redriven": redriven, "stayed": stayed})
        return
    click.echo(f"{redriven} redriven, {len(ends) - redriven} not" if redriven < len(ends) else f"{redriven} redriven")
    for reason, count in Counter(f"{end.ending}: {end.reason}" for end in left).items():
        named = [_name_of(end.letter) for end in left if f"{end.ending}: {end.reason}" == reason]
        more = f" and {count - MAX_SHOWN} more" if count > MAX_SHOWN else ""
        say(f"{', '.join(named[:MAX_SHOWN])}{more}: {reason}", err=True)


def print_chosen(verb: str, letters: "Sequence[DeadLetter]", *, most: int, err: bool) -> None:
    """Print the table of `most` dead letters, and how many others there are of each kind."""
    print_table(letters[:most], err=err)
    rest = letters[most:]
    more = f", {len(rest)} of them not in the table (--dry-run lists all):" if rest else ""
    say(f"{counted(len(letters), 'dead letter')} to {verb}{more}", err=err)
    kinds = Counter((letter.delivery.event_type, _cut(letter.marks.reason)) for letter in rest)
    for (event_type, reason), count in kinds.most_common(MAX_SHOWN):
        say(f"{count:>8}  {event_type}  {reason}", err=err, indent=10)


def print_staying(letters: "Sequence[DeadLetter]", rules: "RedriveRules") -> None:
    """Say which of the dead letters a redrive will leave where they are."""
    for letter in letters:
        reason = reason_to_stay(letter, rules)
        if reason is not None:
            say(f"{_name_of(letter)} will stay: {reason}", err=True)


def reason_to_stay(letter: "DeadLetter", rules: "RedriveRules") -> str | None:
    """Return why a redrive will leave `letter` where it is, or None."""
    stay = rules.reason_to_stay(letter, datetime.now(UTC))
    return stay[1] if stay else None


def print_discarded(ends: "Sequence[Discarded]", *, as_json: bool) -> None:
    """Say how many were discarded, and which may come back."""
    stayed = [(end.letter, end.may_come_back) for end in ends if end.may_come_back]
    if as_json:
        shown = [{**_ids_of(letter), "reason": reason} for letter, reason in stayed]
        print_json({"discarded": len(ends) - len(stayed), "may_come_back": shown})
        return
    click.echo(f"{len(ends) - len(stayed)} discarded")
    for letter, reason in stayed:
        say(f"{_name_of(letter)} may come back: {reason}", err=True)


def print_table(letters: "Sequence[DeadLetter]", *, err: bool = False) -> None:
    """Print one row for each dead letter; a column that is empty in every row is left out.

    Where a table is wider than the terminal, each reason has lines of its own below its row.
    """
    now, short = datetime.now(UTC), _short_names(letters)
    rows = [_row_of(letter, now, short) for letter in letters]
    used = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    rows = [{name: row[name] for name in used} for row in rows]
    width = width_of(sys.stderr if err else sys.stdout)
    cut = [{**row, "reason": _cut(row["reason"])} for row in rows]
    if width is None or fits(cut, width=width):
        click.echo(table(cut, width=NO_LIMIT), err=err, nl=bool(rows))
        return
    longer = [{**row, "reason": _cut(row["reason"], most=MAX_BELOW)} for row in rows]
    click.echo(as_rows(longer, below="reason", width=width), err=err)


def _short_names(letters: "Sequence[DeadLetter]") -> Mapping[str, str]:
    """Return for each handler its function's name where no other handler has that, else its whole name."""
    functions = {name: name.rpartition(".")[2] for name in {letter.marks.handler for letter in letters}}
    count = Counter(functions.values())
    return {name: function if count[function] == 1 else name for name, function in functions.items()}


def _row_of(letter: "DeadLetter", now: datetime, short: Mapping[str, str]) -> dict[str, str]:
    marks = letter.marks
    return {
        "age": shown_duration(letter.age_seconds(now)),
        "id": letter.message_id,
        "event": letter.delivery.event_id[:12],
        "order": letter.delivery.ordering_key,
        "event type": letter.delivery.event_type,
        "attempts": "" if marks.attempts is None else str(marks.attempts),
        "redrives": str(marks.redrives or ""),
        "reason": f"{short[marks.handler]}: {marks.reason}" if marks.handler else marks.reason,
    }


def print_letter(letter: "DeadLetter") -> None:
    """Print one dead letter with its content."""
    for name, value in json_of(letter).items():
        say(f"{name:<16}{value}", indent=16)
    content = content_of(letter)
    shown = json.dumps(content["content"], indent=2, ensure_ascii=False) if "content" in content else content["text"]
    click.echo(f"\n{shown}\n")


def json_of(letter: "DeadLetter") -> dict[str, Any]:
    """Return what a script gets of one dead letter, without the content."""
    delivery, marks = letter.delivery, letter.marks
    return {
        **_ids_of(letter),
        "event_type": delivery.event_type,
        "order_id": delivery.ordering_key,
        "reason": marks.reason,
        "handler": marks.handler,
        "attempts": marks.attempts,
        "redrives": marks.redrives,
        "received_at": delivery.received_at.isoformat(),
        "dead_letter_at": letter.pulled.published_at.isoformat(),
        "age_seconds": round(letter.age_seconds(datetime.now(UTC))),
    }


def _ids_of(letter: "DeadLetter") -> dict[str, str]:
    return {"id": letter.message_id, "event_id": letter.delivery.event_id}


def _name_of(letter: "DeadLetter") -> str:
    return f"{letter.message_id} (event {letter.delivery.event_id[:12]})"


def content_of(letter: "DeadLetter") -> dict[str, Any]:
    """Return the body as JSON where it is, else as text with what cannot be shown escaped."""
    body = letter.delivery.body
    try:
        return {"content": json.loads(body)}
    except (ValueError, RecursionError):
        return {"text": body.decode(errors="backslashreplace")}


def _cut(text: str, *, most: int = MAX_CELL) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
