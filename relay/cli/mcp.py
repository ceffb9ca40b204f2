"""`relay mcp`: the relay's answers for an assistant."""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
from click.core import ParameterSource

from relay.cli.environment import use_local_run
from relay.cli.lines import STANDARD_INPUT, lines_option, log_source, project_option
from relay.errors import ConfigurationError
from relay.investigation.search import LogSource
from relay.local.environment import LINES

if TYPE_CHECKING:
    from relay.onestock import RegisteredWebhook

_INSTALL = ".venv/bin/pip install -r requirements-mcp.txt"


@click.command(
    epilog=("\b\nExamples:\n  relay mcp --project my-project\n  relay mcp --folder /home/me/onestock-relay\n")
)
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".",
              help="Where `make run` goes on, if it does: then the answers come from it.")  # fmt: skip
@lines_option
@project_option
def mcp(*, folder: Path, files: Sequence[str], project: str | None) -> None:
    """Answer an assistant's questions: events, orders, failures, dead letters, webhooks, the doctor's findings.

    A server of the Model Context Protocol on standard input and output; an assistant starts it (docs/assistant.md). It
    only reads, with your own credentials, and gives what the commands give with --json, personal data masked as
    LOG_CONTENT says. What it gives goes to the assistant's provider. Logs go to standard error.
    """
    if STANDARD_INPUT in files:
        raise ConfigurationError("Standard input belongs to the assistant: name files with --lines")
    try:
        from relay.mcp.server import RelayServer
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"`relay mcp` needs the package {error.name}. Install it: {_INSTALL}") from error
    is_named = click.get_current_context().get_parameter_source("project") is ParameterSource.COMMANDLINE
    RelayServer(_Readers(files, project if is_named else None, folder)).run("stdio")


class _WebhookReader(Protocol):
    """The part of the OneStock client that only reads."""

    def list_webhooks(self) -> "tuple[RegisteredWebhook, ...]": ...

    def close(self) -> None: ...


class _Readers:
    """Reads what the shell, the options and the local run name at the moment of the call."""

    def __init__(self, files: Sequence[str], project: str | None, folder: Path) -> None:
        """`project` is one that the command line names: then no local run and no file is meant."""
        self._files = files
        self._project = project
        self._folder = folder

    def log(self) -> LogSource:
        """Return the files, else Cloud Logging. Raises ConfigurationError."""
        environ = self._environ()
        files = self._files or [file for file in environ.get(LINES, "").split(os.pathsep) if file]
        return log_source(files, environ.get("GOOGLE_CLOUD_PROJECT"))

    def webhooks(self) -> list[dict[str, Any]]:
        """Return the webhooks at OneStock. Raises ConfigurationError or OneStockError."""
        from relay.onestock import OneStock
        from relay.settings.webhooks import WebhookSettings

        reader: _WebhookReader = OneStock.connected(WebhookSettings.from_environ(self._environ()))
        with closing(reader) as onestock:
            return [webhook.as_json() for webhook in onestock.list_webhooks()]

    def findings(self) -> list[dict[str, Any]]:
        """Return the doctor's findings. Raises ConfigurationError."""
        from relay.doctor.examination import examined

        return [asdict(finding) for finding in examined(self._environ())]

    def _environ(self) -> dict[str, str]:
        environ = dict(os.environ)
        if self._project is None:
            use_local_run([], environ, folder=self._folder)
            return environ
        environ.pop(LINES, None)
        return environ | {"GOOGLE_CLOUD_PROJECT": self._project}
