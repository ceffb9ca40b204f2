"""A customer's handlers for the tests: they write down what they do, and fail as they are told to."""

import os
from collections.abc import Iterable
from pathlib import Path

from tests.support.shop.ledger import Ledger


def services() -> Iterable[object]:
    return [
        Ledger(
            Path(os.environ["SHOP_LEDGER"]),
            trouble=float(os.environ.get("SHOP_TROUBLE", "0")),
            seconds=float(os.environ.get("SHOP_SECONDS", "0")),
        )
    ]
