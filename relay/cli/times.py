"""Times as people type them: `90s`, `15m`, `2h`, `7d`, or an ISO 8601 moment."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from relay import moments

_DURATION = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Duration(click.ParamType[float]):
    """A length of time; becomes seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. Fails with what would be understood."""
        match = _DURATION.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is no duration; write 90s, 15m, 2h or 7d", param, ctx)
        return int(match[1]) * _SECONDS[match[2]]


class Moment(click.ParamType[datetime]):
    """A moment, or how long ago it was; becomes a datetime in UTC. Without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment. Fails with what would be understood."""
        text = str(value)
        match = _DURATION.fullmatch(text)
        if match is not None:
            return datetime.now(UTC) - timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
        moment = moments.from_text(text)
        if moment is None:
            self.fail(f"{value!r} is no time; write 2h (ago), 2026-01-31 or 2026-01-31T09:30:00Z", param, ctx)
        return moment


def shown_duration(seconds: float) -> str:
    """Return a length of time as people read it: its two largest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in reversed(_SECONDS.items()):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2])


def shown_moment(moment: datetime) -> str:
    """Return a moment to the second in UTC, as an option of a command takes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
