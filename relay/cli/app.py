"""The command group. Each command's error is one line on standard error."""

import sys

import click

from relay.cli.balance import balance
from relay.cli.capture import capture, fixtures
from relay.cli.console import console
from relay.cli.dead_letters import dead_letters
from relay.cli.doctor import doctor
from relay.cli.environment import use_local_run
from relay.cli.events import events
from relay.cli.failures import failures
from relay.cli.ledger import ledger
from relay.cli.mcp import mcp
from relay.cli.pause import pause, resume
from relay.cli.reconcile import reconcile
from relay.cli.replay import replay
from relay.cli.run import run
from relay.cli.send import send
from relay.cli.signature import signature
from relay.cli.tables import say
from relay.cli.trace import trace
from relay.cli.trigger import rerun, trigger
from relay.cli.webhooks import webhooks
from relay.errors import ConfigurationError, RelayError, SettingMissing

_WHERE = (
    "While `make run` goes on, commands in its folder have them. Of a deployment: gcloud run services describe "
    "onestock-worker --region=REGION. What each is for: .env.example"
)


@click.group(epilog="\b\nExample:\n  relay run --events 20")
@click.pass_context
def relay(context: click.Context) -> None:
    """Relay OneStock's webhooks to Google Cloud Pub/Sub."""
    if context.invoked_subcommand not in (run.name, mcp.name) and "--help" not in sys.argv:
        use_local_run(sys.argv[1:])


for command in (
    run,
    trigger,
    rerun,
    send,
    capture,
    fixtures,
    signature,
    dead_letters,
    replay,
    reconcile,
    ledger,
    events,
    failures,
    trace,
    balance,
    console,
    mcp,
    doctor,
    pause,
    resume,
    webhooks,
):
    relay.add_command(command)


def main() -> None:
    """Run the command that the arguments name; exit status 1 for a failure, 2 for wrong use or configuration."""
    try:
        relay(prog_name="relay")
    except SettingMissing as error:
        say(f"{error}. {_WHERE}", err=True)
        sys.exit(2)
    except RelayError as error:
        say(str(error), err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
