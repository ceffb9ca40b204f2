"""Where a command reads the services' log lines: files that it is given, else Cloud Logging."""

from collections.abc import Iterator, Sequence

import click

from relay.errors import LogUnreadable
from relay.investigation.entries import Entry, entries_in
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
        for name in self._files:
            try:
                with click.open_file(name, encoding="utf-8", errors="replace") as file:
                    for entry in entries_in(file):
                        self._count += 1
                        yield entry
            except OSError as error:
                raise LogUnreadable(f"{name} cannot be read: {error.strerror}") from error

    def __str__(self) -> str:
        names = ", ".join("standard input" if file == STANDARD_INPUT else file for file in self._files)
        return f"{names} ({self._count} log line{'' if self._count == 1 else 's'})"
