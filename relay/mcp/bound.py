"""Bounds an answer in bytes, and says in it what was left out. No I/O."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 60_000
"""Of one answer: an assistant's memory is small, and its provider counts what it reads."""
_LONGEST_TEXTS = (2_000, 200)
"""Characters of one value; the second where many long ones would still be too large."""
_CUT_IN_THE_MIDDLE = frozenset({"steps"})
"""Of an event's way, the beginning and the end tell the most."""


def bounded(answer: dict[str, Any], *, narrow: str, newest_last: bool = False, max_bytes: int = MAX_BYTES) -> str:
    """Return the answer as JSON of `max_bytes` at most. What is left out stands under `note`, and how to `narrow` it.

    Lists lose their end; with `newest_last`, `events` loses its beginning.
    """
    text = ""
    for longest in _LONGEST_TEXTS:
        text = _fitted(answer, narrow=narrow, newest_last=newest_last, max_bytes=max_bytes, longest=longest)
        if _size(text) <= max_bytes:
            break
    return text


def _fitted(answer: dict[str, Any], *, narrow: str, newest_last: bool, max_bytes: int, longest: int) -> str:
    cut: dict[str, Any] = _with_short_texts(answer, longest)
    left_out: dict[str, int] = {}
    while True:
        note = _note(left_out, narrow, has_older=bool(answer.get("has_older")))
        text = _json({**cut, **note})
        lists = [one for one in _lists_in(cut) if len(one.items) > 1]
        if _size(text) <= max_bytes or not lists:
            return text
        largest = max(lists, key=lambda one: _size(_json(one.items)))
        removed = largest.halve(newest_last=newest_last)
        left_out[largest.name] = left_out.get(largest.name, 0) + removed


def _note(left_out: dict[str, int], narrow: str, *, has_older: bool) -> dict[str, str]:
    parts = [f"{count:,} of the {name.replace('_', ' ')}" for name, count in left_out.items()]
    parts += ["older events"] if has_older else []
    return {"note": f"Left out, since an answer is bounded: {', '.join(parts)}. {narrow}"} if parts else {}


@dataclass(slots=True)
class _List:
    name: str
    items: list[Any]

    def halve(self, *, newest_last: bool) -> int:
        """Remove half of the items, and return how many."""
        count = len(self.items) // 2
        start = len(self.items) - count
        if self.name in _CUT_IN_THE_MIDDLE:
            start = (len(self.items) - count + 1) // 2
        elif newest_last and self.name == "events":
            start = 0
        del self.items[start : start + count]
        return count


def _lists_in(value: Any, name: str = "") -> Iterator[_List]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _lists_in(item, key)
    elif isinstance(value, list):
        yield _List(name, value)
        for item in value:
            yield from _lists_in(item, name)


def _with_short_texts(value: Any, longest: int) -> Any:
    """Return a copy of `value` in which no text is longer."""
    match value:
        case dict():
            return {name: _with_short_texts(item, longest) for name, item in value.items()}
        case list():
            return [_with_short_texts(item, longest) for item in value]
        case str() if len(value) > longest:
            return f"{value[:longest]} ({len(value) - longest:,} more characters)"
    return value


def _json(value: Any) -> str:
    # Half a surrogate pair, which a log line may hold as an escape, cannot be sent.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace").decode()


def _size(text: str) -> int:
    return len(text.encode())
