"""What a check finds: good, bad with the commands that mend it, or unknown."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")

PUBSUB = "Pub/Sub"
"""The check that Pub/Sub can be reached at all."""


class Verdict(StrEnum):
    """The result of a check. A fact that the doctor could not read is never good."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The verdict of one check about one thing; `text` is one line, `commands` mend it, run in their order."""

    check: str
    verdict: Verdict
    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """The resource does not exist."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The doctor could not read the resource, so that nobody knows whether it exists."""

    reason: str
    is_outage: bool = False
    """Whether no answer came at all."""


def good(check: str, text: str) -> Finding:
    """Return a good finding."""
    return Finding(check=check, verdict=Verdict.GOOD, text=text)


def bad(check: str, text: str, *commands: str) -> Finding:
    """Return a bad finding with the commands that mend it."""
    return Finding(check=check, verdict=Verdict.BAD, text=text, commands=commands)


def unknown(check: str, text: str) -> Finding:
    """Return that the doctor cannot judge, and why."""
    return Finding(check=check, verdict=Verdict.UNKNOWN, text=text)


def judged(check: str, fact: T | Absent | Unreadable, judge: Callable[[T], Finding], *, name: str) -> Finding:
    """Return the finding that `judge` makes of a fact, or unknown without the fact, which people call `name`."""
    match fact:
        case Absent():
            return unknown(check, f"{name} does not exist")
        case Unreadable():
            return unknown(check, f"{name}: {fact.reason}")
    return judge(fact)
