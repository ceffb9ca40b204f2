"""Feeds the index from where lines are read, in a thread, and searches where the index does not reach."""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from relay import moments
from relay.console.lines import MAX_SEARCHED_LINES, LineSource
from relay.errors import LogUnreadable
from relay.investigation.index import EventIndex
from relay.investigation.records import EventFilter

TRY_AGAIN_SECONDS = 15.0
SEARCH_KEPT_SECONDS = 30.0
MAX_SEARCHES_KEPT = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """Where the answer to a question comes from."""

    index: EventIndex
    place: str
    """The source and the window, in words, and whether the answer may lack something."""
    is_cut: bool = False
    """Whether there were more lines than one search reads."""


class Reading:
    """The lines of one source, in an index."""

    def __init__(self, source: LineSource, index: EventIndex, *, try_again_seconds: float = TRY_AGAIN_SECONDS) -> None:
        self.index = index
        self.problem = ""
        """Why the source cannot be read now; empty if it can."""
        self.read_from: datetime | None = None
        """The time from which on all lines were read; None for all that there are."""
        self.is_complete = False
        """Whether the whole window was read."""
        self._source = source
        self._try_again_seconds = try_again_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True, name="reading")
        self._searches: dict[EventFilter, tuple[float, Searched]] = {}

    def start(self) -> Self:
        """Begin to read."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread once it has read what it is at."""
        self._stopping.set()
        self._thread.join()

    def searched(self, wanted: EventFilter) -> Searched:
        """Return the index that can answer: the window's, or of a search of the source. Raises LogUnreadable."""
        if self._is_in_the_window(wanted):
            return Searched(index=self.index, place=self.window)
        known = self._searches.get(wanted)
        if known and time.monotonic() - known[0] < SEARCH_KEPT_SECONDS:
            return known[1]
        entries = self._source.search(wanted)
        if entries is None:
            return Searched(index=self.index, place=self.window)
        index = EventIndex()
        index.add(entries)
        since = f" since {moments.shown(wanted.since)}" if wanted.since else ", as far back as it keeps lines"
        is_cut = len(entries) == MAX_SEARCHED_LINES
        cut = "; there were more lines than one search reads, so events may be missing" if is_cut else ""
        found = Searched(index=index, place=f"{self._source}{since}{cut}", is_cut=is_cut)
        while len(self._searches) >= MAX_SEARCHES_KEPT:
            self._searches.pop(next(iter(self._searches)), None)
        self._searches[wanted] = (time.monotonic(), found)
        return found

    @property
    def window(self) -> str:
        """What the index holds, in words."""
        extent = self.index.extent
        since = self.read_from or extent.oldest
        text = f"{self._source}: {extent.events:,} events, {extent.lines:,} lines"
        if since is not None:
            text += f" since {moments.shown(since)}"
        if extent.forgotten_until is not None:
            text += (
                f"; {extent.forgotten:,} older events, until {moments.shown(extent.forgotten_until)}, are "
                "forgotten, since the console's memory is bounded"
            )
        return text if self.is_complete else f"{text}; still reading"

    def _is_in_the_window(self, wanted: EventFilter) -> bool:
        if wanted.order_id or wanted.event_id or wanted.trace_id:
            return False  # Such a thing may have older lines, too.
        return wanted.since is None or (self.read_from is not None and wanted.since >= self.read_from)

    def _read(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read_backwards()
                while not self._stopping.wait(self._source.look_seconds):
                    self.index.add(self._source.newer())
                    self.problem = ""
            except LogUnreadable as error:
                self.problem = str(error)
                logger.warning("The console cannot read its lines: %s", error)
            except Exception as error:
                self.problem = f"unexpected: {type(error).__name__}: {error}"
                logger.exception("The console cannot read its lines")
            if self.problem:
                self._stopping.wait(self._try_again_seconds)

    def _read_backwards(self) -> None:
        """Read the window, the newest part first; end early where the index begins to forget."""
        if self.is_complete:
            return
        for entries, read_from in self._source.backwards():
            self.index.add(entries)
            self.read_from, self.problem = read_from, ""
            if self._stopping.is_set():
                return
            if self.index.extent.forgotten and read_from is not None:
                break
        self.is_complete = True
