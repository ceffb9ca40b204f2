"""Where a command reads the services' log lines: files that it is given, else Cloud Logging."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from relay.errors import ConfigurationError, LogUnreadable
from relay.investigation.entries import Entry, entries_in
from relay.investigation.search import LineFilter, LogSource
from relay.local.environment import CONTROL_URL, LINES, ended_logs

STANDARD_INPUT = "-"


def _read_lines(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Leave the files of RELAY_LINES out where the command line names a project: its Cloud Logging is meant.

    Raises UsageError where it names both.
    """
    lines, project = (context.get_parameter_source(name) for name in ("files", "project"))
    if project is not ParameterSource.COMMANDLINE or not lines:
        return value
    if lines is ParameterSource.COMMANDLINE:
        raise click.UsageError("Name --lines or --project: the log lines come from files or from Cloud Logging.")
    return () if parameter.name == "files" else value


lines_option = click.option(
    "--lines",
    "files",
    multiple=True,
    metavar="FILE",
    envvar=LINES,
    show_envvar=True,
    callback=_read_lines,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Read this file instead of Cloud Logging: what a service printed, or what `gcloud logging read --format=json` "
    "printed; - is standard input. May be given several times.",
)
project_option = click.option(
    "--project",
    envvar="GOOGLE_CLOUD_PROJECT",
    show_envvar=True,
    callback=_read_lines,
    help="The project whose Cloud Logging is read, even while a local run goes on here.",
)


class LineFiles:
    """Files of log lines."""

    def __init__(self, files: Sequence[str], *, name: str = "") -> None:
        """`name` is what people call the files; their paths by default. Only the local run has a name."""
        self._files = files
        self._name = name or ", ".join("standard input" if file == STANDARD_INPUT else file for file in files)
        self.is_of_local_run = bool(name)
        self._count = 0
        self._of_relay = 0

    def check(self) -> None:
        """Raise ConfigurationError if the lines that were read are not the relay's."""
        if not self._of_relay:
            raise ConfigurationError(f"{self._name} holds no line of the relay: nothing can be said")

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries of all files. Raises LogUnreadable."""
        self._count = self._of_relay = 0
        for name in self._files:
            try:
                with click.open_file(name, encoding="utf-8", errors="replace") as file:
                    for entry in entries_in(file):
                        self._count += 1
                        self._of_relay += bool(entry.kind)
                        yield entry
            except OSError as error:
                raise LogUnreadable(f"{name} cannot be read: {error.strerror}") from error

    def slices(self, since: datetime) -> list[tuple[datetime, datetime | None]]:
        """Return the whole time since then: files are read from their beginning."""
        return [(since, None)]

    def lines(self, wanted: LineFilter, *, since: datetime, until: datetime | None = None) -> Iterator[Entry]:
        """Yield the lines of a time range that are meant. Raises LogUnreadable."""
        in_time = (entry for entry in self if entry.time >= since and (until is None or entry.time < until))
        return (entry for entry in in_time if wanted.fits(entry))

    def lines_of_events(self, wanted: LineFilter, *, since: datetime, until: datetime | None) -> Iterator[Entry]:
        """Yield the lines from `since` on of the events that have one that is meant before `until`.

        Of standard input, which cannot be read twice, all lines come. Raises LogUnreadable.
        """
        if STANDARD_INPUT in self._files:
            return self.lines(LineFilter(), since=since)
        ids = {entry.event_id for entry in self.lines(wanted, since=since, until=until)}
        return (entry for entry in self.lines(LineFilter(), since=since) if entry.event_id in ids)

    def all_lines(self, wanted: LineFilter, *, since: datetime) -> Iterator[Entry]:  # noqa: ARG002 - a file is short
        """Yield the lines that are meant, from the files' beginning. Raises LogUnreadable."""
        return (entry for entry in self if wanted.fits(entry))

    def __str__(self) -> str:
        return f"{self._name} ({self._count} log line{'' if self._count == 1 else 's'})"


def line_files(files: Sequence[str]) -> LineFiles:
    """Return the files; those of the local run that goes on here under its name."""
    is_of_run = CONTROL_URL in os.environ and os.environ.get(LINES) == os.pathsep.join(files)
    return LineFiles(files, name="the local run" if is_of_run else "")


def files_to_read(files: Sequence[str], project: str | None) -> LineFiles | None:
    """Return the named files, else those of the local run that has ended here; None where Cloud Logging is meant."""
    if files:
        return line_files(files)
    logs = [] if project else ended_logs(Path.cwd())
    if not logs:
        return None
    ended_at = datetime.fromtimestamp(max(log.stat().st_mtime for log in logs), UTC)
    click.echo(f"From the local run that ended at {ended_at:%H:%M:%S}.", err=True)
    return LineFiles([str(log) for log in logs], name="the local run that has ended")


def log_source(files: Sequence[str], project: str | None) -> LogSource:
    """Return what `files_to_read` gives, else Cloud Logging. Raises ConfigurationError."""
    found = files_to_read(files, project)
    if found is not None:
        return found
    from relay.investigation.cloud_logging import CloudLog

    return CloudLog.connected(project)


def place_of(answer: dict[str, Any]) -> str:
    """Return where an answer looked, and since when, for people."""
    searched = answer["searched"]
    text = f"{searched['source']} since {searched['since'][:19]}Z"
    if searched["until"]:
        text += f" until {searched['until'][:19]}Z"
    if searched["forgotten_events"]:
        text += f"; {searched['forgotten_events']} older events did not fit into the memory: name a shorter range"
    return text
