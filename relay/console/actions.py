"""Actions of the console: who did what, and why. Every action is a log line before it begins.

Where the console shows production, an action is an entry in Cloud Logging, too, so that others see it: one entry for
each event that it is about (label `event_id`, which makes it a step of `relay trace`), else one for all its ids. If
Cloud Logging refuses the entry, the action is refused, unless the reader asks for it although nobody else will see it.
"""

import getpass
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from relay.console.account import Account, google_account
from relay.console.cloud_entries import CloudEntries, CloudEntry
from relay.errors import ActionRefused, LogUnwritable

if TYPE_CHECKING:
    from relay.console.context import Console

REASON_FIELD = "reason"
UNSEEN_FIELD = "although_unseen"
MAX_REASON = 500
MAX_IDS_IN_A_LINE = 1_000  # Cloud Logging refuses a line over 256 KiB; an event id has 64 characters.
PROJECT = "GOOGLE_CLOUD_PROJECT"
NO_ORDERS: Mapping[str, str] = {}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action that its reader was allowed to begin."""

    name: str
    """The verb, such as `redrive`."""
    ids: Sequence[str]
    """What it is about."""
    reason: str
    account: Account
    seen_by_others: str = "the log of this console"
    """Where others see it, or why they do not."""
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    """What its lines have in common."""

    @property
    def fields(self) -> dict[str, Any]:
        """What each of its log lines holds."""
        return {
            "action": self.name,
            "action_id": self.id,
            "account": self.account.name,
            "account_from": self.account.source,
            "reason": self.reason,
        }


def begin(
    console: "Console",
    name: str,
    *,
    ids: Sequence[str],
    form: Mapping[str, str],
    event_ids: Sequence[str] = (),
    order_ids: Mapping[str, str] = NO_ORDERS,
) -> Action:
    """Log that the reader acts on `ids`, then return the action. Call this before anything is changed.

    `form` holds the fields `reason` and, if it was ticked, `although_unseen`. `event_ids` are the events among the
    things that the action is about, and `order_ids` names the orders of some of them. Raises ActionRefused, whose
    `status` is the answer.
    """
    reason = checked_reason(console, name, ids=ids, form=form)
    account = account_in(console)
    action = Action(name=name, ids=ids, reason=reason, account=account)
    if not console.is_local:
        entries = _cloud_entries(action, event_ids, order_ids)
        seen = _seen_by_others(console, action, entries, although_unseen=bool(form.get(UNSEEN_FIELD)))
        action = replace(action, seen_by_others=seen)
    _log(f"{name}: {len(ids)} by {account.name}", {"line": "console_action", **action.fields}, ids)
    return action


def follow_up(action: Action, name: str) -> None:
    """Log that the reader stops an action that is under way, or lets it go on. Nothing may hold up a stop."""
    fields = {"line": "console_action", **action.fields, "action": f"{name} {action.name}"}
    _log(f"{name} {action.name}: {len(action.ids)} by {action.account.name}", fields, [action.id])


def end(console: "Console", action: Action, ends: Mapping[str, Sequence[str]]) -> None:
    """Log what became of the action's ids; `ends` has the ids of each ending."""
    counts = {ending: len(ids) for ending, ids in ends.items()}
    text = f"{action.name} ended: " + (", ".join(f"{count} {ending}" for ending, count in counts.items()) or "nothing")
    fields = {**action.fields, "line": "console_action_ended", "endings": counts}
    for ending, ids in ends.items():
        _log(text, {**fields, "ending": ending}, ids)
    if console.is_local or not ends:
        return
    try:
        _cloud(console).write([CloudEntry(fields={**fields, "message": text})])
    except LogUnwritable as error:
        logger.warning("Others cannot see how %s ended: %s", action.name, error)


def account_in(console: "Console") -> Account:
    """Return who acts: the reader's Google account; on a local run the user of the operating system."""
    if console.is_local:
        return Account(name=getpass.getuser(), source="operating system")
    return google_account()


def checked_reason(console: "Console", name: str, *, ids: Sequence[str], form: Mapping[str, str]) -> str:
    """Return why the reader acts. `begin` calls it; call it earlier where something else may fail before.

    Raises ActionRefused, and logs it, if the reader may not act on `ids` or does not say why.
    """
    reason = " ".join(form.get(REASON_FIELD, "").split())[:MAX_REASON]
    problem = ""
    if not console.allows_actions:
        problem = "this console is read only; start it with --allow-actions"
    elif not reason and not console.is_local:
        problem = "say why: the reason is missing"
    elif not ids:
        problem = "nothing is chosen"
    if not problem:
        return reason
    status = HTTPStatus.BAD_REQUEST if console.allows_actions else HTTPStatus.FORBIDDEN
    fields = {"line": "console_refused", "action": name, "reason": problem, "status": int(status)}
    logger.warning("Console refused %s: %s", name, problem, extra={"json_fields": fields})
    raise ActionRefused(f"{name}: {problem}", status=status)


def _cloud(console: "Console") -> CloudEntries:
    return CloudEntries.connected(console.environ.get(PROJECT, ""))


def _seen_by_others(console: "Console", action: Action, entries: Iterable[CloudEntry], *, although_unseen: bool) -> str:
    """Write the action to Cloud Logging; return where others see it, or why they do not. Raises ActionRefused."""
    try:
        log = _cloud(console)
        log.write(entries)
    except LogUnwritable as error:
        if although_unseen:
            return f"nobody else: {error}"
        fields = {"line": "console_refused", "action": action.name, "reason": str(error), "status": 409}
        logger.warning("Console refused %s: it is not recorded", action.name, extra={"json_fields": fields})
        raise ActionRefused(
            f"{action.name} did not begin, since others could not see it: {error}. Get the role "
            "roles/logging.logWriter, or tick that it shall be done all the same",
            status=HTTPStatus.CONFLICT,
        ) from error
    return str(log)


def _cloud_entries(action: Action, event_ids: Sequence[str], order_ids: Mapping[str, str]) -> Iterator[CloudEntry]:
    because = f": {action.reason}" if action.reason else ""
    message = f"{action.name} in the console by {action.account.name}{because}"
    fields = {"line": "console_action", **action.fields, "message": message, "count": len(action.ids)}
    for event_id in dict.fromkeys(event_ids):
        labels = {"event_id": event_id, "order_id": order_ids.get(event_id, "")}
        yield CloudEntry(
            fields={**fields, "ids": [event_id]}, labels={key: text for key, text in labels.items() if text}
        )
    if not event_ids:
        for part in _parts(action.ids):
            yield CloudEntry(fields={**fields, "ids": list(part)})


def _log(text: str, fields: Mapping[str, Any], ids: Sequence[str]) -> None:
    for part in _parts(ids):
        logger.info("%s", text, extra={"json_fields": {**fields, "ids": list(part), "count": len(ids)}})


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + MAX_IDS_IN_A_LINE] for start in range(0, len(ids), MAX_IDS_IN_A_LINE))
