"""One order: what OneStock tells of it beside its events and their handlers. A change that is missing is a gap."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from relay.console import actions
from relay.console.context import console
from relay.console.lines import LOG_KEPT
from relay.console.onestock import AskedOrder, asked_order
from relay.console.reading import Searched
from relay.console.waiting import wait_until_seen
from relay.errors import ActionRefused, PublishError
from relay.investigation.order_story import OrderStory, story_of
from relay.investigation.records import EventFilter, EventRecord
from relay.onestock.changes import Change
from relay.onestock.reconcile import SyntheticEvents
from relay.pubsub import publisher
from relay.settings.commands import TopicSettings
from relay.topology import LAST_RETURN_SECONDS

MAX_EVENTS = 300
TOLERANCE = "RECONCILE_DATE_TOLERANCE_SECONDS"
ON_THE_WAY, ON_THE_WAY_LOCALLY = timedelta(hours=1), timedelta(minutes=1)
"""How long OneStock may take to send a change: it repeats a message for half an hour, in a local run for 36 s."""
CLOCKS_DIFFER = timedelta(minutes=1)

pages = Blueprint("order", __name__, url_prefix="/order")


@dataclass(frozen=True, slots=True, kw_only=True)
class _SeenOrder:
    asked: AskedOrder
    searched: Searched
    records: list[EventRecord]
    story: OrderStory


@pages.get("/<path:order_id>")
def show(order_id: str) -> ResponseReturnValue:
    """Show all that is known of an order."""
    seen = _seen(order_id)
    order, story = seen.asked.order, seen.story
    page = render_template(
        "order.html",
        order_id=order_id,
        asked=seen.asked,
        story=story,
        records={record.event_id: record for record in seen.records},
        others=[record for record in reversed(seen.records) if record.event_id in story.other_event_ids][-MAX_EVENTS:],
        searched=seen.searched,
        placed_at=order.date if order else None,
        is_done="done" in request.args,
        command=shlex.join(["relay", "trace", "--order", order_id, "--json"]),
    )
    return page, HTTPStatus.OK if seen.records or order else HTTPStatus.NOT_FOUND


@pages.post("/<path:order_id>")
def publish(order_id: str) -> ResponseReturnValue:
    """Publish the synthetic event of one missing change, as `relay reconcile` does, and show the order again."""
    change = _missing_change(order_id, request.form)
    event_id = change.to_message(now=datetime.now(UTC), traceparent="").event_id
    settings = TopicSettings.from_environ(console().environ)
    topic = publisher.connected(settings.topic_path, settings)
    action = actions.begin(console(), "publish missing", ids=[event_id], form=request.form, event_ids=[event_id])
    try:
        SyntheticEvents(topic, now=lambda: datetime.now(UTC)).publish([change])
    except PublishError:
        actions.end(console(), action, {"failed": action.ids})
        raise
    finally:
        topic.close()
    actions.end(console(), action, {"published": action.ids})
    if console().is_local:
        index = console().reading.index
        wait_until_seen(index, lambda: index.get(event_id) is not None)
    return redirect(url_for("order.show", order_id=order_id, done="published"), HTTPStatus.SEE_OTHER)


def _missing_change(order_id: str, form: Mapping[str, str]) -> Change:
    """Return the change that the form names, if it is missing still. Raises ActionRefused."""
    named = (form.get("new_state"), form.get("date"))
    gaps = {(told.change.new_state, str(told.change.date)): told for told in _seen(order_id).story.gaps}
    if named not in gaps:
        raise ActionRefused(f"order {order_id}: this change is not missing any more", status=HTTPStatus.CONFLICT)
    told = gaps[named]
    if told.at < datetime.now(UTC) - timedelta(seconds=LAST_RETURN_SECONDS):
        raise ActionRefused(
            f"order {order_id}: the change is so old that the worker has forgotten whether it handled it, and would "
            "handle it again. To publish it all the same, use the command with --forgotten-too",
            status=HTTPStatus.CONFLICT,
        )
    return told.change


def _seen(order_id: str) -> _SeenOrder:
    # OneStock first: the line of a change that it knows was written by the time that the lines are read.
    asked = asked_order(console().environ, order_id)
    wanted = EventFilter(order_id=order_id)
    searched = console().reading.searched(wanted)
    records = searched.index.records(wanted)
    story = _story(asked, searched, [record.key for record in records])
    return _SeenOrder(asked=asked, searched=searched, records=records, story=story)


def _story(asked: AskedOrder, searched: Searched, keys: list[str]) -> OrderStory:
    tolerance = console().environ.get(TOLERANCE, "")
    return story_of(
        searched.index.entries(keys),
        asked.changes,
        lines_since=_lines_since(searched),
        on_the_way=ON_THE_WAY_LOCALLY if console().is_local else ON_THE_WAY,
        tolerance_seconds=int(tolerance) if tolerance.isdecimal() else 2,
        now=datetime.now(UTC),
    )


def _lines_since(searched: Searched) -> datetime | None:
    """Return from when on all lines were read; None where that is not known, since there are none."""
    if searched.index is not console().reading.index:
        return datetime.now(UTC) - LOG_KEPT
    extent = searched.index.extent
    begins = [extent.forgotten_until, extent.oldest - CLOCKS_DIFFER if extent.oldest else None]
    return max((one for one in begins if one is not None), default=None)
