"""What a check says: good, bad with the commands that mend it, or that it cannot be told here."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Verdict(StrEnum):
    """The end of a check. What could not be looked at is never good."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "cannot be told here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The verdict of one check about one thing; `text` is one line, `mend` are shell commands to run in their order."""

    check: str
    verdict: Verdict
    text: str
    mend: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """What was looked for does not exist."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What was looked for could not be read; whether it exists is open."""

    reason: str
    is_outage: bool = False
    """Nobody answered at all."""


def good(check: str, text: str) -> Finding:
    """Return a good finding."""
    return Finding(check=check, verdict=Verdict.GOOD, text=text)


def bad(check: str, text: str, *mend: str) -> Finding:
    """Return a bad finding with what mends it."""
    return Finding(check=check, verdict=Verdict.BAD, text=text, mend=mend)


def unknown(check: str, text: str) -> Finding:
    """Return that it cannot be told, and why."""
    return Finding(check=check, verdict=Verdict.UNKNOWN, text=text)


def about(check: str, fact: T | Absent | Unreadable, decide: Callable[[T], Finding], *, missing: str) -> Finding:
    """Return what `decide` makes of the fact, or that nothing can be told without it; `missing` names it."""
    match fact:
        case Absent():
            return unknown(check, f"{missing} does not exist")
        case Unreadable():
            return unknown(check, f"{missing}: {fact.reason}")
    return decide(fact)
