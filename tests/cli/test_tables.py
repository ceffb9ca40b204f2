"""Tables fit the terminal, and lose nothing."""

import pytest

from relay.cli.dead_letter_output import print_table
from relay.cli.tables import table
from relay.pubsub.dead_letters import DeadLetter
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


def shown(letters: list[DeadLetter], capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_table(letters)
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("at_80_columns")
def test_a_dead_letter_at_80_columns_has_its_reason_below_and_no_broken_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reason = "the bill of the order has no address, and the warehouse does not know the customer"
    one = letter(message_id="7", dead_letter_reason=reason, dead_letter_handler="handlers.orders.follow_order")

    names, row, *below = shown([one], capsys)

    assert names.split("  ")[-1] == "event type"
    assert row.endswith("7   abcdef123456  D-1    order_state_changed")
    assert below == [
        "          why: follow_order: the bill of the order has no address, and the",
        "          warehouse does not know the customer",
    ]


@pytest.mark.usefixtures("at_80_columns")
def test_ids_as_long_as_google_s_fit_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    one = letter(
        message_id="12345678901234567",
        order_id="EU-WEB-2026-000123456",
        event_type="line_item_group_state_changed",
        dead_letter_reason="no answer " * 50,
        dead_letter_handler="orders.refund",
        redrives="3",
        CloudPubSubDeadLetterSourceDeliveryCount="100",
    )

    lines = shown([one], capsys)

    assert max(len(line) for line in lines) <= 80
    assert [line.split() for line in lines[1:4:2]] == [
        ["event", "type", "attempts", "redrives"],
        ["line_item_group_state_changed", "100", "3"],
    ]
    assert len(lines) <= 6


def test_two_handlers_of_one_name_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # As wide as it needs: the output is no terminal.
    names = ["handlers.orders.follow", "handlers.parcels.follow", "handlers.orders.bill"]

    lines = shown([letter(dead_letter_reason="no", dead_letter_handler=name) for name in names], capsys)

    assert [line.split("  ")[-1] for line in lines[2:]] == [
        "handlers.orders.follow: no",
        "handlers.parcels.follow: no",
        "bill: no",
    ]


def test_no_dead_letter_is_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown([], capsys) == []


def test_columns_are_two_spaces_apart() -> None:
    lines = table([{"id": "1", "attempts": "3", "order": "O"}], width=80).splitlines()

    assert lines == ["id  attempts  order", "--  --------  -----", "1   3         O"]


def test_a_file_gets_each_row_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    assert len(table(ROWS).splitlines()) == 2 + len(ROWS)
