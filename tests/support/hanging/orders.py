import time

from relay import OrderStateChanged, on
from tests.support.hanging import Gate
from tests.support.shop.ledger import Ledger


@on("order_state_changed", name="gated")
def pass_the_gate(event: OrderStateChanged, gate: Gate, ledger: Ledger) -> None:
    ledger.write("waits", "gated", event)
    while not gate.is_open:
        time.sleep(0.02)
    event.check_claim(for_seconds=1)
    ledger.work("gated", event)
