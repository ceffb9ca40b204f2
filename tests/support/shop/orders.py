from relay import Event, OrderStateChanged, on
from tests.support.shop.ledger import Ledger


@on("order_state_changed", name="refund")
def refund(event: OrderStateChanged, ledger: Ledger) -> None:
    ledger.work("refund", event)


@on("*", name="archive")
def archive(event: Event, ledger: Ledger) -> None:
    ledger.work("archive", event)
