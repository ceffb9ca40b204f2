"""The terminal of the local run: aligned lines that fit its width, from any thread."""

import os
import shutil
import sys
import textwrap
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from relay.local.tracebacks import without_wide_marks

STEP_WIDTH = 13
MIN_TEXT_WIDTH = 20
_TIME = "%H:%M:%S"
INDENT = 10 + STEP_WIDTH


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing to tell: what kind of step it is, and what happened."""

    step: str
    text: str
    is_routine: bool = False
    """Whether `--quiet` leaves it out."""
    code: str = ""
    """Lines to paste, shown below the text from the first column on."""


def width_of(stream: TextIO) -> int | None:
    """Return how many characters fit into a line; None where nothing limits it, as in a file.

    COLUMNS, where it is set, wins.
    """
    if os.environ.get("COLUMNS") or stream.isatty():
        return shutil.get_terminal_size().columns
    return None


def lines_of(shown: Shown, *, at: datetime, width: int | None) -> list[str]:
    """Return the lines that tell it, none wider than `width`; all after the first are indented.

    Code and URLs are never broken: they are there to be copied. A URL that does not fit gets a line of its own.
    """
    text_width = None if width is None else max(MIN_TEXT_WIDTH, width - INDENT)
    lines = without_wide_marks(shown.text.splitlines() or [""], text_width)
    pieces = [piece for line in lines for piece in _wrapped(line, text_width)]
    if not pieces or _is_wide(pieces[0], text_width):
        pieces.insert(0, "")
    first, *further = pieces
    return [
        f"{at:{_TIME}}  {shown.step:<{STEP_WIDTH}}{first}".rstrip(),
        *(_indented(piece, text_width) for piece in further),
        *shown.code.splitlines(),
    ]


def _indented(piece: str, text_width: int | None) -> str:
    return piece if _is_wide(piece, text_width) else f"{'':<{INDENT}}{piece}".rstrip()


def _is_wide(piece: str, text_width: int | None) -> bool:
    return text_width is not None and len(piece) > text_width


def _wrapped(line: str, width: int | None) -> list[str]:
    if width is None or len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]  # As deep as the code of a traceback.
    pieces = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [
        ""
    ]
    return [part for piece in pieces for part in _broken(piece, width)]


def _broken(piece: str, width: int) -> list[str]:
    """Return the parts of a word that is wider than a line; a URL stays whole."""
    if len(piece) <= width or "://" in piece:
        return [piece]
    return textwrap.wrap(piece, width, break_on_hyphens=False)


class Terminal:
    """Writes whole lines, so that threads do not mix theirs."""

    def __init__(self, stream: TextIO = sys.stdout, *, is_quiet: bool = False) -> None:
        self._stream = stream
        self._is_quiet = is_quiet
        self._lock = threading.Lock()

    def show(self, shown: Shown) -> None:
        """Write it, unless it is routine and the terminal is quiet."""
        if shown.is_routine and self._is_quiet:
            return
        lines = lines_of(shown, at=datetime.now().astimezone(), width=width_of(self._stream))
        with self._lock:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()

    def say(self, step: str, text: str) -> None:
        """Write what is no routine."""
        self.show(Shown(step, text))
