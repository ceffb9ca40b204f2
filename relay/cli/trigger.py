"""`relay trigger` and `relay rerun`: what a developer asks of the local run that goes on in this folder."""

import json
import os
import sys

import click

from relay.cli.tables import say
from relay.local.asking import asked

_LIST = "list"


@click.command(epilog="\b\nExamples:\n  relay trigger list\n  relay trigger partial-refund\n  relay trigger outage")
@click.argument("scenario", default=_LIST)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def trigger(*, scenario: str, as_json: bool) -> None:
    """Let the simulated OneStock of the local run play SCENARIO; `list` names them all.

    Orders, groups and parcels exist there, so that a handler that asks OneStock for them gets an answer.
    """
    from relay.local.scenarios import SCENARIOS, about, nearest_scenario

    if scenario == _LIST:
        texts = {name: about(play) for name, play in SCENARIOS.items()}
        click.echo(json.dumps(texts, indent=2) if as_json else _table(texts))
        return
    if scenario not in SCENARIOS:
        nearest = nearest_scenario(scenario)
        meant = f"Is {nearest!r} meant? " if nearest else ""
        raise click.UsageError(f"There is no scenario {scenario!r}. {meant}All of them: relay trigger list")
    played = asked(os.environ, "trigger", {"scenario": scenario})
    if as_json:
        click.echo(json.dumps(played["steps"], indent=2))
        return
    order_id = played["order_id"]
    see = f"relay trace --order {order_id}" if order_id else "the terminal of the run"
    for line in (*played["steps"], f"see: {see}"):
        say(line, indent=2)


@click.command(epilog="\b\nExample:\n  relay rerun 0513eb1ce880")
@click.argument("event_id", metavar="EVENT")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def rerun(*, event_id: str, as_json: bool) -> None:
    """Run all handlers once more for an event of the local run, also those that have handled it.

    EVENT is an event id, or its first characters as the terminal of the run shows them.
    """
    found = asked(os.environ, "rerun", {"event_id": event_id})["event_id"]
    if as_json:
        click.echo(json.dumps({"event_id": found}))
    else:
        say(f"event {found} runs again")


def _table(texts: dict[str, str]) -> str:
    formatter = click.HelpFormatter(width=_width())
    formatter.write_dl(list(texts.items()))
    return formatter.getvalue().rstrip()


def _width() -> int:
    from relay.local.display import width_of

    return width_of(sys.stdout) or 120
