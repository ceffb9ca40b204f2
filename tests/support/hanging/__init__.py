"""A handler that waits at a gate: until the file SHOP_GATE exists. It asks for its claim right before its effect."""

import os
from collections.abc import Iterable
from pathlib import Path

from tests.support.shop.ledger import Ledger


class Gate:
    """Open once its file exists; a worker without SHOP_GATE has it open."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @property
    def is_open(self) -> bool:
        return self._file is None or self._file.exists()


def services() -> Iterable[object]:
    file = os.environ.get("SHOP_GATE")
    return [Ledger(Path(os.environ["SHOP_LEDGER"])), Gate(Path(file) if file else None)]
