"""Handlers that can read what OneStock sends, and not what `relay reconcile` makes up for the same change."""

import os
from collections.abc import Iterable
from pathlib import Path

from tests.support.shop.ledger import Ledger


def services() -> Iterable[object]:
    return [Ledger(Path(os.environ["SHOP_LEDGER"]))]
