"""Moments written as text: in messages, in Pub/Sub's metadata, in log lines, and as people type them."""

import re
from datetime import UTC, datetime, timedelta

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AROUND = timedelta(days=366)
_DURATION = re.compile(r"(\d{1,9})([smhd])", re.ASCII)


def from_text(text: object) -> datetime | None:
    """Return in UTC the moment that an ISO 8601 text names; without a zone it is UTC. None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = in_utc(datetime.fromisoformat(text)).astimezone(UTC)
        # The callers look some days or weeks before and after a moment: a datetime must have these, too.
        _ = moment - _AROUND, moment + _AROUND
    except (ValueError, OverflowError):
        return None
    return moment


def in_utc(moment: datetime) -> datetime:
    """Return `moment` with a zone: UTC where it has none."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_text(moment: datetime) -> str:
    """Return `moment` as RFC 3339 with milliseconds."""
    return moment.isoformat(timespec="milliseconds")


def shown(moment: datetime) -> str:
    """Return `moment` as people read it: `2026-01-31 09:30:00 UTC`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def as_option(moment: datetime) -> str:
    """Return `moment` as people type it, in an option of a command: `2026-01-31T09:30:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def seconds_in(text: str) -> int | None:
    """Return how many seconds a duration such as `90s`, `15m`, `2h` or `7d` is; None for anything else."""
    match = _DURATION.fullmatch(text)
    return None if match is None else int(match[1]) * SECONDS[match[2]]


def typed(text: str) -> datetime | None:
    """Return the moment that a person means: `now`, how long ago (`2h`), or an ISO 8601 text; None for none."""
    seconds = 0 if text.strip().lower() == "now" else seconds_in(text)
    if seconds is None:
        return from_text(text)
    try:
        return datetime.now(UTC) - timedelta(seconds=seconds)
    except OverflowError:
        return None
