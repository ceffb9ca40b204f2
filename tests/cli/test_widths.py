"""What commands print fits the terminal, and no time, event id or order is broken inside."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.invented_lines import InventedEvent, invented_events
from tests.support.parts import Tool

ORDER = "EU-WEB-2026-000123456"
REASON = "ValueError: the warehouse answered 503 for the order, and will not take it before tomorrow " * 2
TIME = re.compile(r"\b\d\d:\d\d:\d\d\b")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Write lines with ids as long as real ones; every ninth event fails for a long reason."""
    lines = [line for event in invented_events(30) for line in event.lines()]
    text = "".join(f"{json.dumps(line)}\n" for line in lines).replace("ORD-100", "EU-WEB-2026-000123")
    (tmp_path / "log").write_text(text.replace("ValueError: invented: the parcel has no weight", REASON))
    return tmp_path / "log"


def shown(log: Path, width: int, *command: str) -> str:
    ended = Tool({"COLUMNS": str(width)}).run(*command, f"--lines={log}")
    assert ended.stdout, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "command",
    [("events",), ("failures",), ("ledger", "--since=2h", "--until=now"), ("trace", "--order=EU-WEB-2026-000123001")],
    ids=lambda command: command[0],
)
def test_no_line_is_wider_than_the_terminal(log: Path, width: int, command: tuple[str, ...]) -> None:
    assert max(len(line) for line in shown(log, width, *command).splitlines()) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_no_time_event_id_or_order_is_broken(log: Path, width: int) -> None:
    text = shown(log, width, "events")

    for number in range(30):
        assert InventedEvent(number, datetime.now(UTC)).event_id[:12] in text
        assert f"EU-WEB-2026-000123{1 + number // 3:03}" in text
    assert len(TIME.findall(text)) == 30


def test_at_80_columns_a_row_that_went_well_takes_one_or_two_lines_and_says_no_attempt(log: Path) -> None:
    first = InventedEvent(29, datetime.now(UTC)).event_id[:12]
    lines = shown(log, 80, "events").splitlines()

    [row] = [number for number, line in enumerate(lines) if first in line]

    assert TIME.match(lines[row])
    assert TIME.match(lines[row + 2])
    assert "attempt" not in " ".join(lines[row : row + 2])


def test_why_stands_indented_below_and_is_broken_between_words(log: Path) -> None:
    text = shown(log, 80, "events", "--where=dead_letter")

    assert " ".join(REASON.split()) in " ".join(text.split())
    assert "\n          why: " in text


def test_the_date_stands_where_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "log"
    days = [datetime(2026, 1, 30, 23, 59, 59, tzinfo=UTC) + timedelta(seconds=second) for second in (0, 1, 2)]
    lines = [line for number, day in enumerate(days) for line in InventedEvent(number + 1, day).lines()]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    text = shown(file, 80, "events", "--since=2026-01-01")

    assert [line for line in text.splitlines() if re.fullmatch(r"\d{4}-\d\d-\d\d", line)] == [
        "2026-01-31",
        "2026-01-30",
    ]
