"""Times as people type them: `90s`, `15m`, `2h`, `7d`, or an ISO 8601 moment; and how often a second."""

from datetime import datetime
from typing import Any

import click

from relay import moments
from relay.errors import ConfigurationError
from relay.pubsub.pace import LEAST_PER_SECOND, per_second_in


class Duration(click.ParamType[float]):
    """A length of time; becomes seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. Fails with what would be understood."""
        seconds = moments.seconds_in(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no duration; write 90s, 15m, 2h or 7d", param, ctx)
        return seconds


def check_range(since: datetime, until: datetime) -> None:
    """Raise ConfigurationError if the range is empty."""
    if since >= until:
        raise ConfigurationError(
            f"--since {moments.as_option(since)} must be before --until {moments.as_option(until)}; for a range up to "
            "now: --until now"
        )


class Moment(click.ParamType[datetime]):
    """A moment, or how long ago it was; becomes a datetime in UTC. Without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment. Fails with what would be understood."""
        moment = moments.typed(str(value))
        if moment is None:
            self.fail(f"{value!r} is no time; write now, 2h (ago), 2026-01-31 or 2026-01-31T09:30:00Z", param, ctx)
        return moment


class Rate(click.ParamType[float]):
    """How often a second; 0 stands for what the option's help says."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the rate. Fails with what would be understood."""
        rate = per_second_in(str(value))
        if rate is None:
            self.fail(f"{value!r} is no rate; write a number from {LEAST_PER_SECOND} on, or 0", param, ctx)
        return rate


def shown_duration(seconds: float) -> str:
    """Return a length of time as people read it: its two largest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in reversed(moments.SECONDS.items()):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2])
