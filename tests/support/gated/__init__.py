"""A customer's handler for the tests that waits at a gate between its beginning and its effect."""

import os
from collections.abc import Iterable
from pathlib import Path

from tests.support.shop.ledger import Ledger


def services() -> Iterable[object]:
    return [Ledger(Path(os.environ["SHOP_LEDGER"]))]
