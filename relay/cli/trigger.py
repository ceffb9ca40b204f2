"""`relay trigger` and `relay rerun`: what a developer asks of the local run that goes on in this folder."""

import json
import os
import sys
from typing import Any

import click
import requests

from relay.errors import ConfigurationError, RelayError
from relay.local.environment import CONTROL_URL

ANSWER_SECONDS = 60  # An outage is played in real time.
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
    steps = _asked("trigger", {"scenario": scenario})["steps"]
    click.echo(json.dumps(steps, indent=2) if as_json else "\n".join(steps))


@click.command(epilog="\b\nExample:\n  relay rerun 0513eb1ce880")
@click.argument("event_id", metavar="EVENT")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def rerun(*, event_id: str, as_json: bool) -> None:
    """Run all handlers once more for an event of the local run, also those that have handled it.

    EVENT is an event id, or its first characters as the terminal of the run shows them.
    """
    found = _asked("rerun", {"event_id": event_id})["event_id"]
    click.echo(json.dumps({"event_id": found}) if as_json else f"event {found} runs again")


def _asked(call: str, content: dict[str, str]) -> Any:
    """Return what the run answers. Raises RelayError in the run's words, ConfigurationError where none goes on."""
    url = os.environ.get(CONTROL_URL)
    if not url:
        raise ConfigurationError("No local run goes on in this folder. Start one in another terminal: make run")
    try:
        answer = requests.post(f"{url}/{call}", json=content, timeout=ANSWER_SECONDS)
        said = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise ConfigurationError(
            f"The local run does not answer at {url} ({type(error).__name__}); stop it and start again: make run"
        ) from error
    if not answer.ok:
        raise RelayError(said["problem"])
    return said


def _table(texts: dict[str, str]) -> str:
    formatter = click.HelpFormatter(width=_width())
    formatter.write_dl(list(texts.items()))
    return formatter.getvalue().rstrip()


def _width() -> int:
    from relay.local.display import width_of

    return width_of(sys.stdout) or 120
