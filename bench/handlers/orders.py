"""Handlers that do nothing but read one field: what is measured is the way to them."""

import os
from collections.abc import Callable

from relay import OrderStateChanged, on


def _handler(number: int) -> Callable[[OrderStateChanged], None]:
    @on("order_state_changed", name=f"bench-{number}")
    def handle(event: OrderStateChanged) -> None:
        event.order_id.isascii()

    return handle


for _number in range(int(os.environ["BENCH_HANDLERS"])):
    globals()[f"handle_{_number}"] = _handler(_number)
