"""Tables fit the terminal, and lose nothing."""

import pytest

from relay.cli.tables import table

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


def test_a_file_gets_each_row_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    assert len(table(ROWS).splitlines()) == 2 + len(ROWS)
