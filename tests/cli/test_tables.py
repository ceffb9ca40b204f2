"""Tables fit the terminal, and lose nothing."""

import pytest

from relay.cli.dead_letter_output import print_table
from relay.cli.tables import table
from tests.support.dead_letters import letter

ROWS = [
    {"id": "31", "event": "70de19b125c6", "reason": "the shop does not answer " * 5, "url": f"https://{'x' * 90}"},
    {"id": "32", "event": "80de19b125c6", "reason": "", "url": "https://example.com"},
]


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_fits_the_terminal_and_holds_everything(width: int) -> None:
    lines = table(ROWS, width=width).splitlines()

    assert max(len(line) for line in lines) <= width
    assert "".join(lines).count("shop") == 5
    assert "".join(lines).count("x") == 91


def test_the_table_of_dead_letters_fits_80_columns_in_the_worst_case(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    one = letter(
        message_id="12345678901234567",
        dead_letter_reason="no answer " * 9,
        dead_letter_handler="orders.refund",
        redrives="3",
        CloudPubSubDeadLetterSourceDeliveryCount="100",
    )

    print_table([one])

    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "attempts" in shown


def test_a_file_gets_each_row_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    assert len(table(ROWS).splitlines()) == 2 + len(ROWS)
