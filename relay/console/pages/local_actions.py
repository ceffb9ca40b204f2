"""What a developer does with one event of the local run: send it again, edited or not, and run its handlers again."""

from http import HTTPStatus

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from relay.console import actions
from relay.console.context import console
from relay.console.pages.event import NOT_DELIVERED_YET, FoundEvent, found_event, shown_event
from relay.console.waiting import wait_until_seen
from relay.errors import RelayError
from relay.events import event_id_of
from relay.investigation.history import Whereabouts
from relay.investigation.payload import NO_JSON, json_in, json_problem, pretty
from relay.local.asking import asked
from relay.local.sending import ReceiverAnswer, post, webhook_url
from relay.settings.receiver import SignedString

MAX_EDITED = 2_000_000

pages = Blueprint("local_actions", __name__, url_prefix="/event")


@pages.post("/<id_>/send")
def send(id_: str) -> ResponseReturnValue:
    """Send the same body to the receiver."""
    found = _event_of_local_run(id_)
    if not found.payload.is_whole:
        return shown_event(found, problem=f"Not sent. {found.payload.missing}", status=HTTPStatus.CONFLICT)
    answer = _sent("send", found, found.payload.body)
    if answer.status != HTTPStatus.ACCEPTED:
        problem = f"The receiver did not take it: {answer.shown}"
        return shown_event(found, problem=problem, status=HTTPStatus.BAD_GATEWAY)
    return _shows(found.record.event_id, done="sent", lines=len(found.entries))


@pages.get("/<id_>/edit")
def edit(id_: str) -> ResponseReturnValue:
    """Show the body in a field, to be changed."""
    found = _event_of_local_run(id_)
    if not found.payload.is_whole:
        return shown_event(found, problem=f"It cannot be edited. {found.payload.missing}", status=HTTPStatus.CONFLICT)
    content = json_in(found.payload.body)
    text = found.payload.body.decode(errors="replace") if content is NO_JSON else pretty(content, limit=MAX_EDITED)
    return _edit_page(found, text)


@pages.post("/<id_>/edit")
def send_edited(id_: str) -> ResponseReturnValue:
    """Send the body in the field as a new event of the same event type."""
    found = _event_of_local_run(id_)
    text = request.form.get("body", "").replace("\r\n", "\n")
    if problem := json_problem(text):
        return _edit_page(found, text, problem=f"Not sent: no JSON, {problem}.", status=HTTPStatus.BAD_REQUEST)
    answer = _sent("send edited", found, text.encode())
    if answer.status != HTTPStatus.ACCEPTED:
        problem = f"The receiver did not take it: {answer.shown}"
        return _edit_page(found, text, problem=problem, status=HTTPStatus.BAD_GATEWAY)
    return _shows(event_id_of(found.record.event_type, text.encode()), done="edited", lines=0)


@pages.post("/<id_>/rerun")
def rerun(id_: str) -> ResponseReturnValue:
    """Run all handlers of the event again."""
    found = _event_of_local_run(id_)
    if found.history.whereabouts is Whereabouts.WAITING:
        return shown_event(found, problem=NOT_DELIVERED_YET, status=HTTPStatus.CONFLICT)
    action = actions.begin(console(), "rerun", ids=[found.record.event_id], form=request.form)
    try:
        asked(console().environ, "rerun", {"event_id": found.record.event_id})
    except RelayError as error:
        actions.end(console(), action, {"failed": action.ids})
        return shown_event(found, problem=f"It does not run again: {error}", status=HTTPStatus.BAD_GATEWAY)
    actions.end(console(), action, {"published": action.ids})
    return _shows(found.record.event_id, done="rerun", lines=len(found.entries))


def _event_of_local_run(id_: str) -> FoundEvent:
    """Return the event that is acted on; end the request where that may not be."""
    if not console().is_local:
        abort(HTTPStatus.FORBIDDEN, "Only the events of a local run can be sent again from here.")
    found = found_event(id_)
    if found is None or not found.record.event_id:
        abort(HTTPStatus.NOT_FOUND, f"The run has no event {id_}.")
    return found


def _edit_page(found: FoundEvent, text: str, *, problem: str = "", status: int = HTTPStatus.OK) -> ResponseReturnValue:
    is_other = text.encode(errors="replace") != found.payload.body
    page = render_template("event_edit.html", record=found.record, text=text, problem=problem, is_other=is_other)
    return page, status


def _sent(name: str, found: FoundEvent, body: bytes) -> ReceiverAnswer:
    """Send a body, signed with the newest key, as OneStock would."""
    environ = console().environ
    newest = environ.get("ONESTOCK_HASH_KEYS", "").split(",")[0].strip()
    signed_string = SignedString(environ.get("ONESTOCK_SIGNED_STRING") or SignedString.TIMESTAMP_BODY)
    event_type = found.record.event_type
    url = webhook_url(environ.get("RECEIVER_URL", ""), event_type)
    action = actions.begin(console(), name, ids=[event_id_of(event_type, body)], form=request.form)
    answer = post(url, body, keys=(newest.encode(),), signed_string=signed_string)
    actions.end(console(), action, {f"answered {answer.status}": action.ids})
    return answer


def _shows(event_id: str, *, done: str, lines: int) -> ResponseReturnValue:
    """Lead to the event's page, once it has more than `lines` lines or the time is over."""
    index = console().reading.index
    wait_until_seen(index, lambda: len(index.entries([event_id])) > lines)
    return redirect(url_for("event.show", id_=event_id, done=done), HTTPStatus.SEE_OTHER)
