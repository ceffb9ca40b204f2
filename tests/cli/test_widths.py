"""What commands print fits the terminal, and no time, event id or order is broken inside."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.cli.dead_letter_output import print_letter
from relay.cli.trigger import trigger
from tests.support.dead_letters import letter
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


def widest(text: str) -> int:
    """Return the width of the widest line that nobody copies."""
    return max(len(line) for line in text.splitlines() if "$ " not in line and "://" not in line)


@pytest.fixture
def faulty_log(log: Path) -> Path:
    """Add a webhook that the receiver could not publish, for a long reason; the log does not hold its body."""
    first, *_ = InventedEvent(40, datetime.now(UTC)).lines()
    refused = {**first, "outcome": "not_published", "status": 503, "reason": REASON, "content": ""}
    log.write_text(f"{log.read_text()}{json.dumps(refused)}\n")
    return log


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "command",
    [
        ("events",),
        ("failures",),
        ("balance",),
        ("ledger", "--since=2h", "--until=now"),
        ("trace", "--order=EU-WEB-2026-000123001"),
    ],
    ids=lambda command: command[0],
)
def test_no_line_is_wider_than_the_terminal(faulty_log: Path, width: int, command: tuple[str, ...]) -> None:
    assert max(len(line) for line in shown(faulty_log, width, *command).splitlines()) <= width


@pytest.mark.parametrize(
    "command",
    [
        ("events", "--event-type=order_state_change"),
        ("events", "--limit=3", "--order=EU-WEB-2026-000123001-no-such-order-at-all"),
        ("balance", "--since=2026-01-01T09:00:00Z", "--until=2026-01-01T10:00:00Z"),
        ("capture",),
        ("trace", "0123456789abcdef0123456789abcdef"),
    ],
    ids=" ".join,
)
def test_no_note_is_wider_than_the_terminal(faulty_log: Path, command: tuple[str, ...], tmp_path: Path) -> None:
    into = [f"--into={tmp_path / 'kept'}"] if command[0] == "capture" else []

    ended = Tool({"COLUMNS": "80"}).run(*command, *into, f"--lines={faulty_log}")

    assert ended.stderr
    assert widest(ended.stderr) <= 80


def test_an_error_is_as_wide_as_the_terminal_and_one_line_in_a_file() -> None:
    narrow, file = (Tool({"HOME": "/nonexistent", **width}).run("doctor").stderr for width in ({"COLUMNS": "80"}, {}))

    assert widest(narrow) <= 80
    assert len(file.splitlines()) == 1
    assert narrow.split() == file.split()


def test_a_dead_letter_and_a_scenario_are_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("relay.cli.trigger.asked", lambda *_: {"steps": [REASON], "order_id": ORDER})

    print_letter(letter(dead_letter_reason=REASON, dead_letter_handler="handlers.orders.follow_order"))
    trigger.main(["outage"], standalone_mode=False)

    text = capsys.readouterr().out
    assert widest(text) <= 80
    assert " ".join(text.split()).count(REASON.strip()) == 2


def test_what_the_doctor_finds_is_as_wide_as_the_terminal() -> None:
    nowhere = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:9", "RECEIVER_URL": "http://127.0.0.1:9"}

    text = Tool({"COLUMNS": "80", "GOOGLE_CLOUD_PROJECT": "test-relay", **nowhere}).run("doctor").stdout

    assert "worker's settings" in text
    assert widest(text) <= 80


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
