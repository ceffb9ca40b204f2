"""`relay console`: see what happened, and act on it, in a browser."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relay.cli.lines import STANDARD_INPUT, lines_option, project_option
from relay.cli.times import Moment
from relay.errors import ConfigurationError
from relay.local.environment import CONSOLE_TOKEN, CONTROL_URL

if TYPE_CHECKING:
    from relay.console.lines import LineSource

DEFAULT_WINDOW = timedelta(hours=1)


@click.command(
    epilog=(
        "\b\nExamples:\n"
        "  relay console --project my-project\n"
        "  relay console --since 6h --allow-actions\n"
        "  relay console --lines receiver.log --lines worker.log"
    )
)
@click.option("--port", envvar="CONSOLE_PORT", show_envvar=True, default=8070, show_default=True)
@lines_option
@project_option
@click.option("--since", type=Moment(), help="From when on Cloud Logging is read; 1h if left out. A search for an "
              "order or an event goes further back.")  # fmt: skip
@click.option("--allow-actions", is_flag=True, help="Let the reader redrive, discard, enable and pause. Each action "
              "is logged with the account, the ids and the reason.")  # fmt: skip
def console(
    *, port: int, files: Sequence[str], project: str | None, since: datetime | None, allow_actions: bool
) -> None:
    """Show events, orders, dead letters, webhooks and the doctor's findings in a browser.

    Listens on 127.0.0.1 only and prints the URL that opens it. It reads Cloud Logging with your own credentials, or
    the files that --lines names, which it follows. Read only without --allow-actions. Ctrl-C ends it.
    """
    from relay.console.serving import Wishes, new_token, serve, url_of
    from relay.local.processes import is_taken

    if is_taken(port):
        raise ConfigurationError(f"Port {port} is taken: stop what uses it, or choose another with --port")
    wishes = Wishes(
        port=port,
        token=os.environ.get(CONSOLE_TOKEN) or new_token(),
        project=project or "",
        allows_actions=allow_actions,
        is_local=CONTROL_URL in os.environ,
        environ=os.environ,
    )
    source = _source(files, project, since or datetime.now(UTC) - DEFAULT_WINDOW)
    serve(wishes, source, ready=lambda: click.echo(f"The console: {url_of(port, wishes.token)}"))


def _source(files: Sequence[str], project: str | None, since: datetime) -> "LineSource":
    from relay.console.lines import CloudLines, FollowedFiles
    from relay.investigation.cloud_logging import CloudLog

    if STANDARD_INPUT in files:
        raise ConfigurationError("The console cannot read standard input; name files with --lines")
    if files:
        return FollowedFiles([Path(file) for file in files])
    return CloudLines(CloudLog.connected(project), since=since)
