from relay import Event, OrderStateChanged, on
from tests.support.shop.ledger import Ledger


class OrderOfAChannel(OrderStateChanged):
    sales_channel: str


@on("order_state_changed", name="channel")
def follow_channel(event: OrderOfAChannel, ledger: Ledger) -> None:
    ledger.work("channel", event)


@on("order_state_changed", name="archive")
def archive(event: Event, ledger: Ledger) -> None:
    ledger.work("archive", event)
