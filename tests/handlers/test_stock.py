"""The line about a failed stock import fits the terminal, and names the event as every command does."""

import pytest

from handlers.stock import log_stock_import_error
from relay import StockImportErrorOccurred
from relay.testing import MakeEvent


def test_the_event_is_named_by_its_first_12_characters(make_event: MakeEvent, caplog: pytest.LogCaptureFixture) -> None:
    event = make_event(StockImportErrorOccurred)

    log_stock_import_error(event)

    assert caplog.messages[0].endswith(f"(event {event.event_id[:12]})")
