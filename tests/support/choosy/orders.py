from relay import OrderStateChanged, Reject, on
from tests.support.choosy import REFUSED


@on("order_state_changed")
def take_an_order(event: OrderStateChanged) -> None:
    if event.new_state == REFUSED:
        raise Reject("invented: this shop does not know the state")
