"""Moments written as text, in a message's attributes, in Pub/Sub's metadata and in log lines."""

from datetime import UTC, datetime


def from_text(text: object) -> datetime | None:
    """Return the moment that an ISO 8601 text names, in UTC where it names no zone; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        return in_utc(datetime.fromisoformat(text))
    except ValueError:
        return None


def in_utc(moment: datetime) -> datetime:
    """Return `moment` with a zone: UTC where it has none."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_text(moment: datetime) -> str:
    """Return `moment` as RFC 3339 with milliseconds."""
    return moment.isoformat(timespec="milliseconds")
