"""`relay trace`: what happened to an event, or to all events of an order or a trace."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from relay import moments
from relay.cli.documents import print_json
from relay.cli.lines import lines_option, log_source, project_option
from relay.cli.tables import say, wrapped
from relay.cli.times import Moment
from relay.investigation.answers import history_json, ways_of
from relay.investigation.entries import Entry
from relay.investigation.history import History
from relay.investigation.search import LineFilter, begins_event_id
from relay.local.display import width_of
from relay.local.tracebacks import without_relay_frames, without_wide_marks

DEFAULT_DAYS = 7
_INDENT = 4  # Of what does not fit into the line of its step.


@click.command(
    epilog=(
        "\b\nExamples:\n"
        "  relay trace 172843227e45\n"
        "  relay trace --order ORD-1001 --since 30d\n"
        "  relay trace 172843227e45 --lines receiver.log --lines worker.log"
    )
)
@click.argument("event_id", default="", required=False)
@click.option("--order", "order_id", default="", help="All events of this order.")
@click.option("--trace", "trace_id", default="", help="All events of this trace, by its 32 hex digits.")
@lines_option
@project_option
@click.option("--since", type=Moment(), help=f"How far back Cloud Logging is searched; {DEFAULT_DAYS} days.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def trace(
    *,
    event_id: str,
    order_id: str,
    trace_id: str,
    files: Sequence[str],
    project: str | None,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Show an event's way: received, published, each delivery, each handler, and where it is now.

    EVENT_ID may be its first characters, at least 6. The log lines come from Cloud Logging, or from the files that
    --lines names. Exit status 1 if no log line is about the event, the order or the trace.
    """
    if [bool(name) for name in (event_id, order_id, trace_id)].count(True) != 1:
        raise click.UsageError("Name an event id, or --order, or --trace.")
    if event_id and not begins_event_id(event_id):
        raise click.UsageError("An event id has 64 hex digits; give at least the first 6.")
    since = since or datetime.now(UTC) - timedelta(days=DEFAULT_DAYS)
    source = log_source(files, project)
    wanted = LineFilter(event_id=event_id, order_id=order_id, trace_id=trace_id)
    entries = list(source.all_lines(wanted, since=since))
    found = ways_of(entries, wanted)
    if as_json:
        print_json([history_json(history) for history in found])
    else:
        for history in found:
            _print(history, change=_change_in(entries, history.event_id))
    if not found:
        place = str(source) if files else f"{source} since {moments.as_option(since)}"
        say(f"No log line in {place} is about {event_id or order_id or f'the trace {trace_id}'}.", err=True)
        sys.exit(1)


def _change_in(entries: Sequence[Entry], event_id: str) -> str:
    """Return the change that the event's webhook tells: `placed -> picking`; empty for none."""
    for entry in entries:
        content = entry.content if entry.kind == "webhook" and entry.event_id == event_id else None
        if content and content.get("new_state"):
            return f"{content.get('old_state') or '?'} -> {content['new_state']}"
    return ""


def _print(history: History, *, change: str) -> None:
    of_order = f" of order {history.order_id}" if history.order_id else ""
    width = width_of(sys.stdout)
    head = f"event {history.event_id}: {history.event_type}{of_order}" + (f", {change}" if change else "")
    click.echo(wrapped(head, width=width, indent=6))
    shown: set[str] = set()
    for step in history.steps:
        time = f"  {step.time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
        click.echo(_step_text(f"{time}  {step.name:<10}", _once(step.text, shown), width))
    say(f"  now: {history.whereabouts}", indent=7)
    if history.caveat:
        click.echo(wrapped(history.caveat, width=min(width or 78, 78), indent=7, first=7))
    click.echo()


def _once(text: str, shown: set[str]) -> str:
    """Return a step's text; a traceback that was shown before is left out."""
    head, _, traceback = text.partition("\n")
    if traceback and traceback in shown:
        return f"{head}: the same error"
    shown.add(traceback)
    return text


def _step_text(head: str, text: str, width: int | None) -> str:
    """Return a step; the lines of its text stay lines, as those of a traceback."""
    first, *further = without_relay_frames(text).splitlines() or [""]
    lines = [wrapped(f"{head}{first}", width=width, indent=_INDENT)]
    further = without_wide_marks(further, None if width is None else width - _INDENT)
    return "\n".join([*lines, *(_indented(line, width) for line in further)])


def _indented(line: str, width: int | None) -> str:
    if width is None:
        return line
    depth = _INDENT + len(line) - len(line.lstrip())
    return wrapped(line.strip(), width=width, indent=depth, first=depth)
