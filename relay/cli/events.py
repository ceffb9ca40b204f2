"""`relay events`: the newest events, and those that a filter means."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from relay import moments
from relay.cli.documents import print_json
from relay.cli.lines import lines_option, log_source, place_of, project_option
from relay.cli.tables import NO_LIMIT, Item, as_list, counted, fits, say, table
from relay.cli.times import Moment
from relay.investigation.answers import events_answer
from relay.investigation.history import Whereabouts
from relay.investigation.records import EventFilter
from relay.investigation.search import LogSource
from relay.local.display import width_of

DEFAULT_SINCE = "1d"
DEFAULT_LIMIT = 100


class Place(click.ParamType[Whereabouts]):
    """Where an event is: `dead_letter`, `dead-letter`, or as the table says it."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Whereabouts:
        """Return the place. Fails with the places that there are."""
        place = Whereabouts.named(str(value))
        if place is None:
            self.fail(f"{value!r} is no place; one of {', '.join(one.name.lower() for one in Whereabouts)}", param, ctx)
        return place


@click.command(
    epilog=(
        "\b\nExamples:\n"
        "  relay events --order ORD-1001 --since 7d\n"
        "  relay events --where dead_letter --handler handlers.orders.follow_order\n"
        "  relay events --since 1h --json | jq '.events[].event_id'"
    )
)
@click.option("--order", "order_id", default="", help="Only events of this order.")
@click.option("--event-id", default="", help="Only events whose id begins with this.")
@click.option("--trace", "trace_id", default="", help="Only events of this trace.")
@click.option("--event-type", default="", help="Only this event type.")
@click.option("--where", "whereabouts", type=Place(), help="Only events that are there now, such as being_retried.")
@click.option("--handler", default="", help="Only events that this handler has run for; the end of its name will do.")
@click.option("--reason", default="", help="Only events of which a handler's reason, or why the receiver refused "
              "them, contains this text.")  # fmt: skip
@click.option("--since", type=Moment(), default=DEFAULT_SINCE, show_default=True, help="From when on lines are read.")
@click.option("--until", type=Moment(), help="Only events that began before this.")
@click.option("--limit", type=click.IntRange(min=1), default=DEFAULT_LIMIT, show_default=True,
              help="The newest this many.")  # fmt: skip
@lines_option
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def events(
    *, files: Sequence[str], project: str | None, since: datetime, limit: int, as_json: bool, **wanted: Any
) -> None:
    """Show a table of events, newest first: what each is about, where it is now, and which handlers failed it.

    The log lines come from Cloud Logging, or from the files that --lines names. Of an event that began before --since,
    only what happened since then is known. --json prints `searched` (where, since when), `events` and `has_older`
    (whether older ones fit, too). Exit status 1 if there is no such event.
    """
    source = log_source(files, project)
    answer = events_answer(source, EventFilter(**wanted), since=since, limit=limit)
    if as_json:
        print_json(answer)
    else:
        _print(answer)
    if not answer["events"]:
        say(f"No event in {place_of(answer)} fits.{_seen(source, since, **wanted)}", err=True)
        sys.exit(1)


def _seen(source: LogSource, since: datetime, *, handler: str, event_type: str, **_: Any) -> str:
    """Return which handlers or event types the newest events have, where the caller named one."""
    if not (handler or event_type):
        return ""
    newest = events_answer(source, EventFilter(), since=since, limit=DEFAULT_LIMIT)["events"]
    types = {event["event_type"] for event in newest} - {""}
    handlers = {end["name"] for event in newest for end in event["handlers"]}
    if event_type and event_type not in types:
        return f" Event types that were seen: {', '.join(sorted(types)) or 'none'}"
    return f" Handlers that were seen: {', '.join(sorted(handlers)) or 'none'}" if handler else ""


def _print(answer: dict[str, Any]) -> None:
    found = answer["events"]
    if found:
        rows, width = [_row(event) for event in found], width_of(sys.stdout)
        is_table = width is None or fits(rows, width=width)
        click.echo(table(rows) if is_table else as_list([_item(event) for event in found], width=width or NO_LIMIT))
        say(f"{counted(len(found), 'event')} in {place_of(answer)}")
    if answer["has_older"]:
        say("Older ones fit, too: raise --limit, or narrow it with another option", err=True)


def _row(event: dict[str, Any]) -> dict[str, str]:
    return {
        "time": f"{moments.from_text(event['first_at']):%Y-%m-%d %H:%M:%S}",
        "event": event["event_id"][:12],
        "event type": event["event_type"],
        "order": event["order_id"],
        "change": _change(event),
        "where": event["whereabouts"],
        "attempts": str(event["attempts"]),
        "ms": f"{event['acknowledged_ms']:g}" if event["acknowledged_ms"] else "",
        "why": _why(event),
    }


def _item(event: dict[str, Any]) -> Item:
    attempts = f"{event['attempts']} attempts" if event["attempts"] > 1 else ""
    cells = (event["event_id"][:12], event["order_id"], event["event_type"], _change(event), event["whereabouts"])
    return Item(time=datetime.fromisoformat(event["first_at"]), cells=(*cells, attempts), why=_why(event))


def _change(event: dict[str, Any]) -> str:
    return f"{event['old_state']} to {event['new_state']}" if event["new_state"] else ""


def _why(event: dict[str, Any]) -> str:
    failed = [f"{end['name']}: {end['reason'] or end['outcome']}" for end in event["failed_handlers"]]
    return "; ".join([*filter(None, [event["reason"]]), *failed])
