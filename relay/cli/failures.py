"""`relay failures`: what failed, grouped by handler and reason."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from relay import moments
from relay.cli.documents import print_json
from relay.cli.lines import lines_option, log_source, place_of, project_option
from relay.cli.tables import Item, as_list, counted, fits, say, table
from relay.cli.times import Moment, check_range
from relay.investigation.answers import failures_answer
from relay.local.display import width_of

DEFAULT_SINCE = "1h"
_TITLES = {
    "handlers": "Deliveries",
    "webhooks": "Webhooks that were refused or not stored",
    "pushes": "Pushes that were refused",
}


@click.command(
    epilog=(
        "\b\nExamples:\n"
        "  relay failures\n"
        "  relay failures --since 2026-01-31T09:00:00Z --until 2026-01-31T10:00:00Z\n"
        "  relay failures --since 1d --json | jq '.handlers[] | {handler, reason, events}'"
    )
)
@click.option("--since", type=Moment(), default=DEFAULT_SINCE, show_default=True, help="From when on lines count.")
@click.option("--until", type=Moment(), help="Until when lines count; now if left out.")
@lines_option
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def failures(
    *, since: datetime, until: datetime | None, files: Sequence[str], project: str | None, as_json: bool
) -> None:
    """Show what failed since a time, grouped by handler and reason, and where these events are now.

    Below them: webhooks that the receiver refused or could not store, and pushes that the worker refused. In a reason,
    # stands for ids and numbers that differ. The log lines come from Cloud Logging, or from the files that --lines
    names. `relay events --handler HANDLER --reason TEXT` lists a group's events. --json prints `searched` (where, since
    when), `deliveries` and `events` (how many failed), and the groups `handlers`, `webhooks` and `pushes`.
    """
    check_range(since, until or datetime.now(UTC))
    answer = failures_answer(log_source(files, project), since=since, until=until)
    if as_json:
        print_json(answer)
        return
    for name, title in _TITLES.items():
        if answer[name]:
            click.echo(f"{title}\n{_shown(answer[name], name)}\n")
    place = place_of(answer)
    if any(answer[name] for name in _TITLES):
        text = f"{_deliveries(answer['deliveries'])} of {counted(answer['events'], 'event')} failed in {place}"
        say(text)
    else:
        say(f"Nothing failed in {place}")


def _deliveries(count: int) -> str:
    return "1 delivery" if count == 1 else f"{count:,} deliveries"


def _shown(groups: Sequence[dict[str, Any]], part: str) -> str:
    rows, width = [_row(group, part) for group in groups], width_of(sys.stdout)
    if width is None or fits(rows, width=width):
        return table(rows)
    return as_list([_item(group, row) for group, row in zip(groups, rows, strict=True)], width=width)


def _item(group: dict[str, Any], row: dict[str, str]) -> Item:
    last, first = (datetime.fromisoformat(group[name]) for name in ("last_at", "first_at"))
    since = f"since {first:%H:%M:%S}" if first.date() == last.date() else f"since {row['first']}"
    times = counted(group["times"], "time") + (f" {since}" if group["times"] > 1 else "")
    example = f"for example {row['for example']}" if row["for example"] else ""
    name = row.get("handler") or row.get("outcome", "")
    cells = (name, times, counted(group["events"], "event"), row["now"], example)
    return Item(time=last, cells=cells, why=row["reason"])


def _row(group: dict[str, Any], part: str) -> dict[str, str]:
    places = ", ".join(f"{count} {place}" for place, count in group["whereabouts"].items())
    head = {"handler": group["handler"] or ", ".join(group["outcomes"])} if part == "handlers" else {}
    return {
        **(head or {"outcome": ", ".join(group["outcomes"])}),
        "reason": group["reason"],
        "times": str(group["times"]),
        "events": str(group["events"]),
        "first": _clock(group["first_at"]),
        "last": _clock(group["last_at"]),
        "now": places,
        "for example": ", ".join(event_id[:12] for event_id in group["event_ids"][:1]),
    }


def _clock(moment: str) -> str:
    return f"{moments.from_text(moment):%m-%d %H:%M:%S}"
