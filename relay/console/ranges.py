"""The time range that a page is about, from its URL's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay import moments

LENGTHS = {"1h": timedelta(hours=1), "6h": timedelta(hours=6), "24h": timedelta(hours=24)}
DEFAULT = "1h"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """A time range; `until` does not belong to it."""

    since: datetime
    until: datetime
    name: str
    """Its name among LENGTHS; empty if the URL names its moments."""

    @property
    def parameters(self) -> dict[str, str]:
        """The URL's parameters that mean the same moments, also later."""
        return {"since": self.since.isoformat(), "until": self.until.isoformat()}

    @property
    def options(self) -> list[str]:
        """The options of a command that mean it."""
        if self.name:
            return ["--since", self.name]
        return ["--since", self.since.isoformat(), "--until", self.until.isoformat()]


def range_in(args: Mapping[str, str], *, now: datetime) -> tuple[TimeRange, str]:
    """Return the range that `range`, or `since` and `until`, name, and what is wrong with them; empty if nothing."""
    name = args.get("range", "" if args.get("since") else DEFAULT)
    if name in LENGTHS:
        return _ending_now(name, now), ""
    since, until = moments.from_text(args.get("since")), moments.from_text(args.get("until") or now.isoformat())
    if since is None or until is None or since >= until:
        wrong = f"The range is not understood; the last {DEFAULT} is shown. Write since and until as 2026-01-31T09:30Z"
        return _ending_now(DEFAULT, now), wrong
    return TimeRange(since=since, until=until, name=""), ""


def _ending_now(name: str, now: datetime) -> TimeRange:
    # From a whole minute on: the same question, asked again, has the same answer, and is searched for once.
    since = (now - LENGTHS[name]).replace(second=0, microsecond=0)
    return TimeRange(since=since, until=now, name=name)
