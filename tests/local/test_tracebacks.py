"""A developer sees the frames of the handler, wherever the relay is installed, and no marks that point to nothing."""

from relay.local.tracebacks import without_relay_frames, without_wide_marks

RELAYS = """\
  File "/app/relay/worker/dispatch.py", line 185, in _handle
    handler.run(handler.model.of(delivery, content))
    ~~~~~~~~~~~^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"""
HANDLERS = """\
  File "/app/handlers/orders.py", line 12, in follow_order
    bill(event)
    ~~~~^^^^^^^
  File "/home/relay/relay/shop/bill.py", line 3, in bill
    client.get_order(event.order_id)"""
CLIENTS = """\
  File "/app/relay/onestock/client.py", line 61, in get_order
    return 1 / 0
           ~~^~~"""
BEGIN, END = "Traceback (most recent call last):", "ZeroDivisionError: division by zero"


def test_a_traceback_begins_with_the_handler_and_keeps_what_that_calls() -> None:
    text = f"It failed\n{BEGIN}\n{RELAYS}\n{HANDLERS}\n{CLIENTS}\n{END}"

    assert without_relay_frames(text) == f"It failed\n{BEGIN}\n{HANDLERS}\n{CLIENTS}\n{END}"


def test_each_traceback_of_a_chain_begins_so() -> None:
    chain = "\nThe above exception was the direct cause of the following exception:\n"
    text = f"{BEGIN}\n{RELAYS}\n{HANDLERS}\n{END}\n{chain}\n{BEGIN}\n{RELAYS}\n{HANDLERS}\nKeyError: 'x'"

    assert without_relay_frames(text) == text.replace(f"{RELAYS}\n", "")


def test_a_fault_of_the_relay_keeps_its_frames() -> None:
    text = f"{BEGIN}\n{RELAYS}\n{CLIENTS}\n{END}"

    assert without_relay_frames(text) == text


def test_marks_are_left_out_where_they_or_their_code_are_broken() -> None:
    lines = ["  x = bill(event)", "      ~~~~^^^^^^^", "  y = bill(event, 'a long text')", "      ^^^^"]

    assert without_wide_marks(lines, 20) == lines[:3]
    assert without_wide_marks(lines, 10) == [lines[0], lines[2]]
    assert without_wide_marks(lines, None) == lines
