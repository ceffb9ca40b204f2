"""Dead letters: what nobody could handle, grouped, and the way from a frozen list to the end of each letter on it."""

import re
import shlex
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from relay import moments
from relay.console import actions
from relay.console.context import console
from relay.console.jobs import Job, JobOptions
from relay.console.letters import ListedLetter, failures_in, grouped, of_dead_letter, of_record, since_then
from relay.console.pages.events import parameters_of, wanted_by
from relay.console.plans import Plan, Verb, counted
from relay.console.redrives import PubSubDeadLetters
from relay.errors import ActionRefused
from relay.investigation.records import EventFilter
from relay.pubsub.pace import LEAST_PER_SECOND, per_second_in
from relay.pubsub.redrive import RedriveRules

SHOWN_LETTERS = 200
SHOWN_IN_A_COMMAND = 20
DEFAULT_RATE = 50.0  # Events a second.
DEFAULT_MAX_REDRIVES = 5
LIVE_AFTER_THE_END = timedelta(minutes=1)  # So long a page shows what the log tells of the events that went back.
SUBSCRIPTION = "subscription"
_COUNT = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)

pages = Blueprint("dead_letters", __name__, url_prefix="/dead-letters")


@pages.get("")
def list_() -> ResponseReturnValue:
    """Show the groups, and the first of the letters, of the log or of the last count."""
    wanted, unknown = wanted_by(request.args)
    letters, place = _listed(wanted, request.args)
    return render_template(
        "dead_letters.html",
        groups=grouped(letters),
        letters=letters[:SHOWN_LETTERS],
        count=len(letters),
        place=place,
        wanted=wanted,
        unknown=unknown,
        parameters=parameters_of(wanted),
        group_parameters={**parameters_of(wanted), **({"source": SUBSCRIPTION} if _counted_at(request.args) else {})},
        names=_names(wanted),
        is_of_the_log=_counted_at(request.args) is None,
        redrives=console().redrives,
        now=datetime.now(UTC),
        command=_list_command(wanted),
        not_in_the_command=_not_in_the_command(wanted),
    )


@pages.post("/count")
def count() -> ResponseReturnValue:
    """Pull the whole subscription once, let everybody see the dead letters again, and show what was there."""
    actions.checked_reason(console(), "count", ids=[SUBSCRIPTION], form=request.form)
    pubsub = PubSubDeadLetters(console().environ)
    action = actions.begin(console(), "count", ids=[str(pubsub)], form=request.form)
    index = console().reading.index
    found = [of_dead_letter(letter, index.get(letter.delivery.event_id)) for letter in pubsub.all()]
    console().redrives.counted, console().redrives.counted_at = tuple(found), datetime.now(UTC)
    actions.end(console(), action, {f"{len(found)} dead letters": [str(pubsub)]})
    return redirect(url_for("dead_letters.list_", source=SUBSCRIPTION), HTTPStatus.SEE_OTHER)


@pages.post("/plan")
def make_plan() -> ResponseReturnValue:
    """Freeze what is ticked: letters, and groups, which are expanded here and never again."""
    form = request.form
    letters, _ = _listed(wanted_by(form)[0], form)
    keys, groups = set(form.getlist("letter")), set(form.getlist("group"))
    meant = [letter for letter in letters if letter.key in keys or letter.group_key in groups]
    verb = form.get("verb", type=Verb)
    if verb is None:
        abort(HTTPStatus.BAD_REQUEST, "The form does not say whether to redrive or to discard.")
    plan = Plan.of(verb, meant, now=datetime.now(UTC))
    console().redrives.add(plan)
    return redirect(url_for("dead_letters.plan", id_=plan.id), HTTPStatus.SEE_OTHER)


@pages.get("/plan/<id_>")
def plan(id_: str) -> ResponseReturnValue:
    """Show the frozen list: what will run, what is done, what will stay."""
    found = _plan(id_)
    if console().redrives.job(id_):
        return redirect(url_for("dead_letters.job", id_=id_))
    rules = _rules(request.args)
    return render_template(
        "plan.html",
        plan=found,
        groups=grouped(found.letters),
        staying=found.staying(rules),
        letters=found.letters[:SHOWN_LETTERS],
        rate=DEFAULT_RATE,
        rules=rules,
        commands=_commands(found, DEFAULT_RATE, rules),
        now=datetime.now(UTC),
    )


@pages.post("/plan/<id_>/start")
def start(id_: str) -> ResponseReturnValue:
    """Start the plan; a second start of the same plan leads to the first one."""
    found, form = _plan(id_), request.form
    if found.verb is Verb.DISCARD and form.get("count", "").strip() != str(len(found.letters)):
        text = f"discard: type {len(found.letters)}, the number of dead letters, to confirm; nothing was changed"
        raise ActionRefused(text, status=HTTPStatus.BAD_REQUEST)
    console().redrives.start(found, lambda: _new_job(found, form))
    return redirect(url_for("dead_letters.job", id_=id_), HTTPStatus.SEE_OTHER)


@pages.get("/job/<id_>")
def job(id_: str) -> ResponseReturnValue:
    """Show the job, live while it goes on."""
    found = _job(id_)
    options = found.options
    return render_template(
        "job.html", **_progress(found), commands=_commands(found.plan, options.per_second, options.rules)
    )


@pages.get("/job/<id_>/progress")
def progress(id_: str) -> ResponseReturnValue:
    """Show how far the job is, for a page that is live."""
    return render_template("_job_progress.html", **_progress(_job(id_)))


@pages.post("/job/<id_>/go-on")
def go_on(id_: str) -> ResponseReturnValue:
    """Do the rest after the first one."""
    found = _job(id_)
    actions.follow_up(found.action, "go on with")
    found.go_on()
    return redirect(url_for("dead_letters.job", id_=id_), HTTPStatus.SEE_OTHER)


@pages.post("/job/<id_>/stop")
def stop(id_: str) -> ResponseReturnValue:
    """Begin nothing more."""
    found = _job(id_)
    actions.follow_up(found.action, "stop")
    found.stop()
    return redirect(url_for("dead_letters.job", id_=id_), HTTPStatus.SEE_OTHER)


@pages.post("/job/<id_>/plan-the-rest")
def plan_the_rest(id_: str) -> ResponseReturnValue:
    """Freeze a plan of what a job has left, to do the same with it."""
    found = _job(id_)
    plan = Plan.of(found.plan.verb, found.left, now=datetime.now(UTC))
    console().redrives.add(plan)
    return redirect(url_for("dead_letters.plan", id_=plan.id), HTTPStatus.SEE_OTHER)


def _counted_at(source: "MultiDict[str, str]") -> datetime | None:
    """Return when the subscription was counted, if a page is about that; None if it is about the lines."""
    return console().redrives.counted_at if source.get("source") == SUBSCRIPTION else None


def _listed(wanted: EventFilter, source: "MultiDict[str, str]") -> tuple[list[ListedLetter], str]:
    """Return the letters that are meant, those that failed last first, and where they were read."""
    redrives = console().redrives
    if counted_at := _counted_at(source):
        letters = list(redrives.counted)
        place = f"the dead-letter subscription, counted {moments.shown(counted_at)}"
    else:
        # A group's reason has # in place of ids: reasons and handlers are compared letter by letter.
        of_events = replace(wanted, handler="", reason="")
        searched = console().reading.searched(of_events)
        letters = [letter for record in searched.index.records(of_events) for letter in of_record(record)]
        place = searched.place
    meant = [letter for letter in letters if letter.fits(wanted) and not redrives.is_gone(letter)]
    return sorted(meant, key=lambda letter: letter.dead_at, reverse=True), place


def _names(wanted: EventFilter) -> dict[str, list[str]]:
    """Return the event types and the handlers to choose from; what is chosen is one of them in any case."""
    known, counted_ones = console().reading.index.names(), console().redrives.counted
    event_types = {*known["event_types"], *(letter.event_type for letter in counted_ones), wanted.event_type}
    handlers = {*known["handlers"], *(name for letter in counted_ones for name in letter.will_run), wanted.handler}
    return {"event_types": sorted(event_types - {""}), "handlers": sorted(handlers - {""})}


def _plan(id_: str) -> Plan:
    found = console().redrives.plan(id_)
    if found is None:
        abort(HTTPStatus.NOT_FOUND, "There is no such plan: the console keeps the latest ones, until it ends.")
    return found


def _job(id_: str) -> Job:
    found = console().redrives.job(id_)
    if found is None:
        abort(HTTPStatus.NOT_FOUND, "This plan was not started, or is forgotten.")
    return found


def _rules(form: "MultiDict[str, str]") -> RedriveRules:
    """Return which dead letters stay. Raises ActionRefused."""
    text = form.get("max_redrives", str(DEFAULT_MAX_REDRIVES)).strip()
    if not _COUNT.fullmatch(text):
        words = f"redrives: {text!r} is not understood; write a whole number from 1 on"
        raise ActionRefused(words, status=HTTPStatus.BAD_REQUEST)
    return RedriveRules(max_redrives=int(text), forgotten_too=bool(form.get("forgotten_too")))


def _rate(form: "MultiDict[str, str]") -> float:
    """Return how many events a second are meant, 0 for no limit. Raises ActionRefused."""
    text = form.get("rate", str(DEFAULT_RATE))
    rate = per_second_in(text)
    if rate is None:
        hint = f"write a number from {LEAST_PER_SECOND} on, or 0 for no limit"
        raise ActionRefused(f"events a second: {text!r} is not understood; {hint}", status=HTTPStatus.BAD_REQUEST)
    return rate


def _new_job(plan: Plan, form: "MultiDict[str, str]") -> Job:
    one, rate, rules = console(), _rate(form), _rules(form)
    ids = [letter.key for letter in plan.letters]
    actions.checked_reason(one, plan.verb, ids=ids, form=form)
    pubsub = PubSubDeadLetters(one.environ)
    options = JobOptions(rules=rules, per_second=rate, canary=bool(form.get("canary")))
    action = actions.begin(one, plan.verb, ids=ids, event_ids=plan.event_ids, order_ids=plan.order_ids, form=form)

    def ended(job: Job) -> None:
        one.redrives.note_gone(job)
        ends: dict[str, list[str]] = {}
        for key, end in job.ends.items():
            ends.setdefault(end.ending, []).append(key)
        actions.end(one, action, ends)

    return Job(plan, options, action, pubsub, on_end=ended)


def _progress(job: Job) -> dict[str, Any]:
    ends, index = job.ends, console().reading.index
    since = {
        letter.key: since_then(letter, index.get(letter.event_id), began=job.began_at) for letter in job.plan.letters
    }
    return {
        "job": job,
        "ends": ends,
        "counts": counted(ends.values()),
        "letters": job.plan.letters[:SHOWN_LETTERS],
        "since": since,
        "now_at": Counter(record.whereabouts for record in since.values() if record).most_common(),
        "failures_in": failures_in,
        "canary": next((letter for letter in job.plan.letters if letter.key == job.canary), None),
        "is_live": job.ended_at is None or datetime.now(UTC) - job.ended_at < LIVE_AFTER_THE_END,
    }


def _not_in_the_command(wanted: EventFilter) -> list[str]:
    """Return the filters, in the page's words, that the command cannot express."""
    named = {"event id": wanted.event_id, "from": wanted.since, "until": wanted.until}
    return [words for words, value in named.items() if value]


def _list_command(wanted: EventFilter) -> str:
    options = {
        "--order": wanted.order_id,
        "--event-type": wanted.event_type,
        "--handler": wanted.handler,
        "--reason": wanted.reason,
    }
    named = [part for option, value in options.items() if value for part in (option, value)]
    return shlex.join(["relay", "dead-letters", "list", *named, "--json"])


def _commands(plan: Plan, rate: float, rules: RedriveRules) -> list[str]:
    """Return the command lines; none for a plan that is too long to be typed."""
    if len(plan.letters) > SHOWN_IN_A_COMMAND:
        return []
    return [shlex.join(command) for command in plan.commands(rate=rate, rules=rules)]
