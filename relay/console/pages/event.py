"""One event: its way as a timeline, its body, what differs from the order's event before it, and texts to copy."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from typing import Any

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue

from relay.console.context import console
from relay.console.letters import of_record
from relay.console.reading import Searched
from relay.investigation.difference import Difference, differences, shown
from relay.investigation.entries import Entry
from relay.investigation.history import History, history_of
from relay.investigation.payload import MAX_SHOWN, NO_JSON, Payload, json_in
from relay.investigation.records import EventFilter, EventRecord
from relay.investigation.reproduction import Reproduction, reproductions
from relay.local.sending import webhook_url

MAX_STEPS = 300
"""An event that is delivered a hundred times, with a handler's lines each time, has more than a page can show well."""
MAX_DIFFERENCES = 50
MAX_SIDE = 200
NOT_DELIVERED_YET = "It was not delivered yet: its handlers run when it is."
EVENT_ID = re.compile(r"[0-9a-f]{6,64}|~[0-9]{1,12}", re.ASCII)

pages = Blueprint("event", __name__, url_prefix="/event")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvent:
    """One event that the lines tell of."""

    record: EventRecord
    entries: list[Entry]
    payload: Payload
    """Its body."""
    searched: Searched

    @property
    def history(self) -> History:
        """Its way."""
        return history_of(self.entries, now=datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """An event beside the one of its order and event type before it."""

    previous: EventRecord
    differences: list[Difference]
    is_cut: bool
    is_readable: bool


@pages.get("/<id_>")
def show(id_: str) -> ResponseReturnValue:
    """Show the event with this id, or whose id begins so."""
    found = found_event(id_)
    if found is None:
        return _not_found(id_)
    return shown_event(found)


def shown_event(found: FoundEvent, *, problem: str = "", status: int = HTTPStatus.OK) -> ResponseReturnValue:
    """Show an event, and what did not work."""
    payload = found.payload
    text = payload.text
    page = render_template(
        "event.html",
        **_story(found),
        payload=payload,
        text=text,
        is_text_cut=len(text) == MAX_SHOWN,
        compared=_compared(found),
        shown_side=lambda value: shown(value, limit=MAX_SIDE),
        reproductions=_reproductions(found),
        done=_DONE.get(request.args.get("done", ""), ""),
        problem=problem,
        command=command_of(found.record.event_id) if found.record.event_id else "",
    )
    return page, status


@pages.get("/<id_>/story")
def story(id_: str) -> ResponseReturnValue:
    """Show the timeline alone, for a page that is live; nothing if the page shows it already."""
    found = found_event(id_)
    if found is None or request.args.get("have") == str(len(found.entries)):
        return "", HTTPStatus.NO_CONTENT
    return render_template("_story.html", **_story(found), is_live=True)


@pages.get("/<id_>/body")
def body(id_: str) -> ResponseReturnValue:
    """Give the body as the log holds it, as a file."""
    found = found_event(id_)
    if found is None:
        return _not_found(id_)
    payload = found.payload
    headers = {"Content-Disposition": 'attachment; filename="event.json"'}
    return Response(payload.body, headers=headers, content_type="application/octet-stream")


def found_event(id_: str) -> FoundEvent | None:
    """Return the event with this id, or the only one whose id begins so. Raises LogUnreadable."""
    if not EVENT_ID.fullmatch(id_):
        return None
    wanted = EventFilter() if id_.startswith("~") else EventFilter(event_id=id_)
    searched = console().reading.searched(wanted)
    record = searched.index.find(id_)
    if record is None:
        return None
    entries = searched.index.entries([record.key])
    return FoundEvent(record=record, entries=entries, payload=Payload.of(entries), searched=searched)


def command_of(event_id: str) -> str:
    """Return the command line that gives the same as JSON."""
    return shlex.join(["relay", "trace", event_id, "--json"])


_DONE: Mapping[str, str] = {
    "sent": "Sent again, and acknowledged. It is the same event: handlers that have succeeded do not run again.",
    "edited": "Sent, and acknowledged. Another body is another event: this one.",
    "rerun": "All its handlers run again, also those that had succeeded.",
}


def _not_found(id_: str) -> ResponseReturnValue:
    if not EVENT_ID.fullmatch(id_):
        abort(HTTPStatus.NOT_FOUND, f"{id_} is no event id: write its first 6 hex digits at least.")
    place = console().reading.window
    if not id_.startswith("~"):
        searched = console().reading.searched(EventFilter(event_id=id_))
        place = searched.place
        if searched.index.page(EventFilter(event_id=id_), limit=1).records:
            abort(HTTPStatus.NOT_FOUND, f"Several events have an id that begins with {id_}: search for it.")
    abort(HTTPStatus.NOT_FOUND, f"No event has an id that begins with {id_}. Searched was {place}.")


def _story(found: FoundEvent) -> dict[str, Any]:
    """Return what the timeline's template shows."""
    history = found.history
    left_out = max(0, len(history.steps) - MAX_STEPS)
    steps = history.steps
    if left_out:
        steps = steps[: MAX_STEPS // 10] + steps[left_out + MAX_STEPS // 10 :]
    return {
        "record": found.record,
        "history": history,
        "steps": steps,
        "left_out": left_out,
        "left_out_after": MAX_STEPS // 10,
        "lines": len(found.entries),
        "searched": found.searched,
        "live_problem": console().reading.problem,
        "not_delivered_yet": NOT_DELIVERED_YET,
        **_dead_letters(found.record),
    }


def _dead_letters(record: EventRecord) -> dict[str, Any]:
    """Return which dead letters of the event this console has removed, and how many are left."""
    letters = list(of_record(record)) if record.event_id else []
    gone = [(letter, found) for letter in letters if (found := console().redrives.gone(letter))]
    return {"gone": gone, "letters_left": len(letters) - len(gone)}


def _compared(found: FoundEvent) -> _Compared | None:
    """Return the event beside the one before it; None where there is none."""
    record = found.record
    if not record.order_id or not record.event_id:
        return None
    wanted = EventFilter(order_id=record.order_id, event_type=record.event_type)
    index = console().reading.searched(EventFilter(order_id=record.order_id)).index
    previous = next((one for one in index.records(wanted) if one.event_id and one.first_at < record.first_at), None)
    if previous is None:
        return None
    before, after = (_content_of(payload) for payload in (Payload.of(index.entries([previous.key])), found.payload))
    is_readable = before is not NO_JSON and after is not NO_JSON
    some = list(islice(differences(before, after), MAX_DIFFERENCES + 1)) if is_readable else []
    is_cut = len(some) > MAX_DIFFERENCES
    return _Compared(previous=previous, differences=some[:MAX_DIFFERENCES], is_cut=is_cut, is_readable=is_readable)


def _content_of(payload: Payload) -> Any:
    return json_in(payload.body) if payload.is_readable else NO_JSON


def _reproductions(found: FoundEvent) -> list[Reproduction]:
    receiver_url = console().environ.get("RECEIVER_URL") or "https://YOUR-RECEIVER"
    event_type = found.record.event_type
    return reproductions(
        found.payload,
        event_type=event_type,
        handlers=[end.name for end in found.record.handlers],
        receiver_url=receiver_url,
        webhook_url=webhook_url(receiver_url, event_type),
    )
