"""What a test of a handler gets: events made by hand, or of a captured webhook."""

from pathlib import Path

from relay import OrderStateChanged
from relay.testing import MakeEvent


def test_a_captured_event_is_made_by_the_name_of_its_file_with_changes(tmp_path: Path) -> None:
    content = '{"event_type": "order_state_changed", "content": {"new_state": "packed", "customer": "***"}}'
    (tmp_path / "order_state_changed_packed.json").write_text(content)

    event = MakeEvent(tmp_path)(OrderStateChanged, captured="order_state_changed_packed", order_id="ORD-1")

    assert (event.order_id, event.new_state, event.content["customer"]) == ("ORD-1", "packed", "***")
