"""Tracebacks as a developer of handlers reads them: without the relay's frames, and without marks that do not fit."""

import re
from collections.abc import Iterator, Sequence
from itertools import dropwhile, pairwise
from pathlib import Path, PurePosixPath

_BEGIN = "Traceback (most recent call last):"
_FILE = re.compile(r'  File "(?P<path>[^"]+)", line \d+')
_MARKS = re.compile(r"\s*[~^][~^\s]*")
_PACKAGE = Path(__file__).parents[1]


def without_relay_frames(text: str) -> str:
    """Return the text; each traceback in it begins with the first frame that is not the relay's, if it has one."""
    lines, shown = text.splitlines(), list[str]()
    while lines:
        line = lines.pop(0)
        shown.append(line)
        if line.strip() == _BEGIN:
            frames = list(_frames(lines))
            wanted = list(dropwhile(_is_relays, frames)) or frames
            shown += [line for frame in wanted for line in frame]
            del lines[: sum(map(len, frames))]
    return "\n".join(shown)


def without_wide_marks(lines: Sequence[str], width: int | None) -> list[str]:
    """Return the lines without `~~~^^^` where these, or the code that they mark, are broken to fit the width."""
    if width is None:
        return list(lines)
    return [
        line
        for before, line in pairwise(["", *lines])
        if not (_MARKS.fullmatch(line) and max(len(before), len(line)) > width)
    ]


def _frames(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield the lines of each frame that the lines begin with: its file, its code and the marks below."""
    frame: list[str] = []
    for line in lines:
        if _FILE.match(line):
            if frame:
                yield frame
            frame = [line]
        elif frame and line.startswith("    "):
            frame.append(line)
        else:
            break
    if frame:
        yield frame


def _is_relays(frame: Sequence[str]) -> bool:
    """Return whether the file is one of the relay's, wherever that is installed."""
    found = _FILE.match(frame[0])
    parts = PurePosixPath(found["path"] if found else "").parts
    if "relay" not in parts:
        return False
    inside = len(parts) - parts[::-1].index("relay")
    return _PACKAGE.joinpath(*parts[inside:]).is_file()
