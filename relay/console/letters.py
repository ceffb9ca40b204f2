"""Dead letters as a list shows them: told by the log, or counted on the subscription. No I/O."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from relay.investigation.failures import common_reason
from relay.investigation.handler_ends import HandlerEnd
from relay.investigation.history import Whereabouts
from relay.investigation.records import EventFilter, EventRecord
from relay.pubsub.dead_letters import DeadLetter

READING = "(content)"  # What the worker's lines say instead of a handler's name where no handler can read the event.
_QUARANTINED = "quarantined"
MAX_REASON_IN_A_URL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLetter:
    """One dead letter of a list."""

    event_id: str
    event_type: str
    order_id: str
    rejected_by: str
    """The handler that rejected the event; empty where Pub/Sub gave it up, or no handler could read it."""
    generation: int
    """Of the delivery that became the dead letter: one of a later redrive has a higher generation."""
    handlers: str
    """What did not succeed, for the reader."""
    reason: str
    common_reason: str
    """The reason with `#` for the ids and numbers in it: what it has in common with those of its group."""
    deliveries: int
    """Of the event, as the log tells; of the message, where the subscription counts them."""
    redrives: int
    """Of the message, as a redrive counts them for its limit."""
    received_at: datetime
    dead_at: datetime
    will_run: tuple[str, ...]
    """The handlers that a redrive will run, as far as they are known."""
    done: tuple[str, ...]
    """The handlers that have succeeded: a redrive does not run them."""
    message_id: str = ""
    """The dead letter's own id; empty where only the log tells of it."""

    @property
    def key(self) -> str:
        """What names it in a list."""
        return self.message_id or f"{self.event_id}/{self.rejected_by}"

    @property
    def group_key(self) -> str:
        """What names its group: the same handlers, the same reason."""
        return hashlib.sha256(f"{self.handlers}\n{self.common_reason}".encode()).hexdigest()[:16]

    def fits(self, wanted: EventFilter) -> bool:
        """Return whether the filter of the page means it."""
        return (
            wanted.order_id in ("", self.order_id)
            and self.event_id.startswith(wanted.event_id)
            and wanted.event_type in ("", self.event_type)
            and any(wanted.reason.lower() in reason.lower() for reason in (self.reason, self.common_reason))
            and (not wanted.handler or wanted.handler in (self.rejected_by, *self.will_run, *self.handlers.split(", ")))
            and (wanted.since is None or self.received_at >= wanted.since)
            and (wanted.until is None or self.received_at < wanted.until)
        )

    def is_told_by(self, letter: DeadLetter) -> bool:
        """Return whether `letter` is this one, and not a later one of the same event."""
        if self.message_id:
            return letter.message_id == self.message_id
        delivery = letter.delivery
        is_same = (delivery.event_id, letter.rejected_by) == (self.event_id, self.rejected_by)
        return is_same and delivery.generation <= self.generation


def of_record(record: EventRecord) -> Iterator[ListedLetter]:
    """Yield the dead letters of one event, as far as its log lines tell: one for each handler that rejected it."""
    rejecting = [end for end in record.handlers if end.outcome == _QUARANTINED]
    for end in rejecting:
        rejected_by = "" if end.name == READING else end.name
        yield _listed(record, [end], rejected_by=rejected_by, reason=end.reason, dead_at=end.ended_at)
    failed = [end for end in record.failed_handlers if end not in rejecting]
    is_given_up = record.whereabouts is Whereabouts.DEAD_LETTER and (failed or not record.handlers)
    if is_given_up and READING not in {end.name for end in rejecting}:
        reason = failed[0].reason or failed[0].outcome if failed else "given up"
        dead_at = record.given_up_at or max((end.ended_at for end in failed), default=record.last_at)
        yield _listed(record, [*failed, *rejecting], rejected_by="", reason=reason, dead_at=dead_at, named=failed)


def of_dead_letter(letter: DeadLetter, record: EventRecord | None) -> ListedLetter:
    """Return a dead letter as the subscription has it; `record` is what the log tells of its event."""
    rejected_by, marks = letter.rejected_by, letter.marks
    ends = record.handlers if record else ()
    failed = tuple(end.name for end in ends if end.has_failed)
    reason = _reason_of(letter, ends)
    return ListedLetter(
        event_id=letter.delivery.event_id,
        event_type=letter.delivery.event_type,
        order_id=letter.delivery.ordering_key,
        rejected_by=rejected_by,
        generation=letter.delivery.generation,
        handlers=marks.handler or ", ".join(failed),
        reason=reason,
        common_reason=common_reason(reason, letter.delivery.ordering_key, letter.delivery.event_id),
        deliveries=marks.attempts or 0,
        redrives=marks.redrives,
        received_at=letter.delivery.received_at,
        dead_at=letter.pulled.published_at,
        will_run=(marks.handler,) if marks.handler else failed,
        done=tuple(end.name for end in ends if not end.has_failed),
        message_id=letter.message_id,
    )


def _reason_of(letter: DeadLetter, ends: Iterable[HandlerEnd]) -> str:
    """Return why nobody handled it. What Pub/Sub gave up has no reason of its own: the log knows the handler's."""
    marks = letter.marks
    if not letter.is_given_up:
        return marks.reason
    meant = (end for end in ends if end.has_failed and marks.handler in ("", end.name))
    given_up = next((end for end in meant if end.outcome != _QUARANTINED), None)
    return (given_up.reason or given_up.outcome) if given_up else marks.reason


def _listed(
    record: EventRecord,
    ends: Sequence[HandlerEnd],
    *,
    rejected_by: str,
    reason: str,
    dead_at: datetime,
    named: Sequence[HandlerEnd] | None = None,
) -> ListedLetter:
    return ListedLetter(
        event_id=record.event_id,
        event_type=record.event_type,
        order_id=record.order_id,
        rejected_by=rejected_by,
        generation=record.generation,
        handlers=", ".join(end.name for end in (ends if named is None else named)),
        reason=reason,
        common_reason=common_reason(reason, record.order_id, record.event_id),
        deliveries=record.attempts,
        redrives=max((end.redrives for end in ends), default=0),
        received_at=record.first_at,
        dead_at=dead_at,
        will_run=tuple(end.name for end in ends if end.name != READING),
        done=tuple(end.name for end in record.handlers if not end.has_failed),
    )


def since_then(letter: ListedLetter, record: EventRecord | None, *, began: datetime) -> EventRecord | None:
    """Return what the log tells of the event since its redrive, which began then; None while it tells nothing."""
    if record is None or record.generation <= letter.generation:
        return None
    # A redrive's generation is at least its Unix time: a lower one is of an earlier redrive, of another handler.
    return _as_of(letter, record) if record.generation >= int(began.timestamp()) else None


def _as_of(letter: ListedLetter, record: EventRecord) -> EventRecord:
    """Return the event as handled if the letter's own handler is done: another one's dead letter may still wait."""
    is_done = any(
        end.name == letter.rejected_by and not (end.has_failed or end.is_rejection) for end in record.handlers
    )
    is_of_another = is_done and record.whereabouts is Whereabouts.DEAD_LETTER
    return replace(record, whereabouts=Whereabouts.HANDLED) if is_of_another else record


def failures_in(record: EventRecord, letter: ListedLetter) -> str:
    """Return why the event needs handling still, of the handler that had rejected it, or of all."""
    failed = [end for end in record.failed_handlers if letter.rejected_by in ("", end.name)]
    return "; ".join(f"{end.name}: {end.reason or end.outcome}" for end in failed)


# --- Groups -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Dead letters that the same handlers failed for the same reason."""

    key: str
    handlers: str
    reason: str
    """What the reasons have in common."""
    count: int
    oldest: datetime
    newest: datetime

    @property
    def filters(self) -> dict[str, str]:
        """The filters of the page that show this group alone; of several handlers, the reason is enough."""
        line = next(iter(self.reason.splitlines()), "")
        names = {"handler": self.handlers if "," not in self.handlers else "", "reason": line[:MAX_REASON_IN_A_URL]}
        return {name: text for name, text in names.items() if text}


def grouped(letters: Iterable[ListedLetter]) -> list[LetterGroup]:
    """Return those that the same handlers failed for the same reason, the group with the most first."""
    alike: dict[tuple[str, str], list[ListedLetter]] = {}
    for letter in letters:
        alike.setdefault((letter.handlers, letter.common_reason), []).append(letter)
    groups = [_group(some) for some in alike.values()]
    return sorted(groups, key=lambda group: (-group.count, group.handlers, group.reason))


def _group(letters: Sequence[ListedLetter]) -> LetterGroup:
    times = [letter.dead_at for letter in letters]
    first = letters[0]
    return LetterGroup(
        key=first.group_key,
        handlers=first.handlers,
        reason=first.common_reason,
        count=len(letters),
        oldest=min(times),
        newest=max(times),
    )
