"""Where the console's lines come from: files that are followed, or Cloud Logging."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Protocol

from relay.investigation.cloud_logging import CloudLog
from relay.investigation.entries import Entry, read_entries
from relay.investigation.records import EventFilter
from relay.investigation.search import LineFilter

LOG_KEPT = timedelta(days=30)  # What Cloud Logging keeps unless the project says otherwise.
MAX_SEARCHED_LINES = 20_000  # 20 of the 60 pages that a project may read in a minute.
_CHUNK_BYTES = 2_000_000
_ARRAY = re.compile(rb"\s*\[\s*\{")
"""How a JSON array begins, as `gcloud logging read` prints it: only the whole of it can be read."""
_LATE = timedelta(seconds=20)
"""Cloud Logging takes a line in a few seconds after its time: what is newer than this is read again."""


class LineSource(Protocol):
    """Where log lines are read."""

    look_seconds: float
    """How long to wait before asking for newer lines again."""

    def backwards(self) -> Iterator[tuple[list[Entry], datetime | None]]:
        """Yield what is there, the newest part first, with the time from which on all was read (None: everything)."""
        ...

    def newer(self) -> list[Entry]:
        """Return what was added; lines that were returned before may come again."""
        ...

    def search(self, wanted: EventFilter) -> list[Entry] | None:
        """Return lines that the window does not hold; None if the window holds all that there is."""
        ...


class FollowedFiles:
    """Files that services write their lines to."""

    look_seconds = 0.1

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [_FollowedFile(file) for file in files]

    def __str__(self) -> str:
        here = Path.cwd()
        paths = [file.path.relative_to(here) if file.path.is_relative_to(here) else file.path for file in self._files]
        folders = {path.parent for path in paths}
        if len(paths) > 1 and len(folders) == 1:
            return f"{', '.join(path.name for path in paths)} in {folders.pop()}"
        return ", ".join(map(str, paths))

    def backwards(self) -> Iterator[tuple[list[Entry], datetime | None]]:
        """Yield the files' lines in parts; a part of one file may be older than that of another before it."""
        yield self.newer(), None
        while any(file.has_more for file in self._files):
            yield self.newer(), None

    def newer(self) -> list[Entry]:
        """Return the lines that were added to the files since the last time."""
        return [entry for file in self._files for entry in file.added()]

    def search(self, wanted: EventFilter) -> None:
        """Return nothing: the window holds all lines of the files."""


class _FollowedFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.has_more = False
        """Whether the file held more than was read, the last time."""
        self._identity: tuple[int, int] | None = None
        self._position = 0
        self._rest = b""

    def added(self) -> list[Entry]:
        """Return the entries in the next whole lines; none while there is no file. A replaced file is read anew."""
        try:
            status = self.path.stat()
            identity = status.st_dev, status.st_ino
            if identity != self._identity or status.st_size < self._position:
                self._identity, self._position, self._rest = identity, 0, b""
            self.has_more = False
            if status.st_size == self._position:
                return []
            with self.path.open("rb") as source:
                source.seek(self._position)
                text = source.read(_CHUNK_BYTES)
                is_array = self._position == 0 and _ARRAY.match(text)
                text += source.read() if is_array else b""
        except OSError:
            return []
        self._position += len(text)
        self.has_more = self._position < status.st_size
        text += b"\n" if is_array else b""  # It may end without one.
        *lines, self._rest = (self._rest + text).split(b"\n")
        return list(read_entries(b"\n".join(lines).decode(errors="replace")))


class CloudLines:
    """Cloud Logging of one project, from `since` on."""

    look_seconds = 10.0

    def __init__(self, log: CloudLog, *, since: datetime) -> None:
        self._log = log
        self._since = since
        self._read_until = datetime.now(UTC)

    def __str__(self) -> str:
        return str(self._log)

    def backwards(self) -> Iterator[tuple[list[Entry], datetime | None]]:
        """Yield slices of time that grow, so that the newest events are there at once. Raises LogUnreadable."""
        for since, until in self._log.slices(self._since):
            yield list(self._log.lines(LineFilter(), since=since, until=until)), since

    def newer(self) -> list[Entry]:
        """Return the lines since a little before the last time. Raises LogUnreadable."""
        began = datetime.now(UTC)
        entries = list(self._log.lines(LineFilter(), since=self._read_until - _LATE))
        self._read_until = began
        return entries

    def search(self, wanted: EventFilter) -> list[Entry]:
        """Return the lines that the filter's names and times narrow down, MAX_SEARCHED_LINES at most.

        Of a named thing, the handlers' own lines come, too. Raises LogUnreadable.
        """
        since = wanted.since or datetime.now(UTC) - LOG_KEPT
        names = LineFilter(
            order_id=wanted.order_id, event_id=wanted.event_id, trace_id=wanted.trace_id, event_type=wanted.event_type
        )
        is_named = wanted.order_id or wanted.event_id or wanted.trace_id
        read = self._log.all_lines if is_named else self._log.lines
        return list(islice(read(names, since=since, until=wanted.until), MAX_SEARCHED_LINES))
