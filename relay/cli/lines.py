"""Where a command reads the services' log lines: files that it is given, else Cloud Logging."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from relay.errors import LogUnreadable
from relay.investigation.entries import Entry, read_entries
from relay.local.environment import LINES

STANDARD_INPUT = "-"

lines_option = click.option(
    "--lines",
    "files",
    multiple=True,
    metavar="FILE",
    envvar=LINES,
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Read this file instead of Cloud Logging: what a service printed, or what `gcloud logging read --format=json` "
    "printed; - is standard input. May be given several times.",
)
project_option = click.option(
    "--project", envvar="GOOGLE_CLOUD_PROJECT", show_envvar=True, help="The project whose Cloud Logging is read."
)


class LineFiles:
    """Files of log lines."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        self._count = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries of all files. Raises LogUnreadable."""
        for file in self._files:
            for entry in read_entries(_text_of(file)):
                self._count += 1
                yield entry

    def __str__(self) -> str:
        names = ", ".join("standard input" if file == STANDARD_INPUT else file for file in self._files)
        return f"{names} ({self._count} log line{'' if self._count == 1 else 's'})"


def _text_of(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
    except OSError as error:
        raise LogUnreadable(f"{file} cannot be read: {error.strerror}") from error
    return data.decode(errors="replace")
