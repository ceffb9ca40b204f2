import contextlib

from relay import OrderStateChanged, on
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until

LONGEST_WAIT_SECONDS = 60


@on("order_state_changed", name="gated")
def wait_and_refund(event: OrderStateChanged, ledger: Ledger) -> None:
    ledger.write("begin", "gated", event)
    with contextlib.suppress(AssertionError):
        wait_until(ledger.gate.exists, within=LONGEST_WAIT_SECONDS, every=0.01)
    ledger.write("done", "gated", event)
