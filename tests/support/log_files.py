"""Files of invented log lines, as a service prints them."""

import json
from collections.abc import Iterable
from pathlib import Path

from tests.support.invented_lines import InventedEvent


def written(file: Path, events: Iterable[InventedEvent]) -> Path:
    """Write the lines of the events into a file, and return it."""
    file.write_text("".join(f"{json.dumps(line)}\n" for event in events for line in event.lines()))
    return file
