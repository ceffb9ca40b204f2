"""What the tools answer, from lines in memory."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from relay.investigation.entries import Entry
from relay.investigation.search import LineFilter
from relay.mcp.tools import Tools
from tests.support.entries import id_of, webhook


class GivenLog:
    """A log that holds these lines; counts how often it is read."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self.readings = 0

    def __str__(self) -> str:
        return "the test's log"

    def slices(self, since: datetime) -> list[tuple[datetime, datetime | None]]:
        return [(since, None)]

    def lines(self, wanted: LineFilter, *, since: datetime, until: datetime | None = None) -> Iterator[Entry]:
        self.readings += 1
        in_time = (one for one in self._entries if one.time >= since and (until is None or one.time < until))
        return (one for one in in_time if wanted.fits(one))

    def lines_of_events(self, wanted: LineFilter, *, since: datetime, until: datetime | None) -> Iterator[Entry]:
        return self.lines(wanted, since=since, until=until)

    def all_lines(self, wanted: LineFilter, *, since: datetime) -> Iterator[Entry]:
        return self.lines(wanted, since=since)


class GivenReaders:
    """Readers of one log, with nothing else to read."""

    def __init__(self, log: GivenLog) -> None:
        self._log = log

    def log(self) -> GivenLog:
        return self._log

    def webhooks(self) -> list[dict[str, Any]]:
        return []

    def findings(self) -> list[dict[str, Any]]:
        return []


def test_a_text_that_nothing_fits_finds_nothing() -> None:
    log = GivenLog([webhook(1, order_id="ORD-1")])

    answer = json.loads(Tools(GivenReaders(log)).find_events(text="ORD-9999"))

    assert answer["events"] == []
    assert answer["searched"]["source"] == "the test's log"


def test_a_text_finds_the_events_of_its_likeliest_meaning() -> None:
    log = GivenLog([webhook(1, order_id="ORD-1"), webhook(2, order_id="ORD-2")])

    answer = json.loads(Tools(GivenReaders(log)).find_events(text="ORD-2"))

    assert [event["event_id"] for event in answer["events"]] == [id_of(2)]


def test_a_filter_that_nothing_fits_is_read_once() -> None:
    log = GivenLog([webhook(1, order_id="ORD-1")])

    answer = json.loads(Tools(GivenReaders(log)).find_events(order_id="ORD-9999"))

    assert (answer["events"], log.readings) == ([], 1)
