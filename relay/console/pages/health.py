"""Health: the doctor's findings with the commands that mend them, and the pause of the pushes."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from relay.console import actions
from relay.console.context import console, console_of
from relay.console.health import STATE_KEPT_SECONDS, Health, lost_from
from relay.doctor.findings import Finding, Verdict
from relay.errors import RelayError

WAIT_SECONDS = 3.0
NO_REASON = "no reason given"  # A local run asks for none, and the pause's labels must not be empty.
_ORDER = (Verdict.BAD, Verdict.UNKNOWN, Verdict.GOOD)
_NAME = "relay.health"

pages = Blueprint("health", __name__)


@pages.record_once
def _make_health(state: BlueprintSetupState) -> None:
    health = Health(console_of(state.app.extensions).environ)
    state.app.extensions[_NAME] = health
    state.app.jinja_env.globals["health"] = health


def _health() -> Health:
    return cast("Health", current_app.extensions[_NAME])


@pages.get("/health")
def show() -> ResponseReturnValue:
    """Show the findings of the last examination, and begin one if there was none."""
    examination = _health().examination.last
    if examination.at is None:
        examination = _health().examination.ask()
    pushes = _health().pushes.answer(max_age_seconds=STATE_KEPT_SECONDS, wait_seconds=WAIT_SECONDS)
    return render_template(
        "health.html",
        examination=examination,
        groups=_grouped(examination.value or []),
        pushes=pushes,
        lost_from=lost_from(pushes.value) if pushes.value else None,
    )


@pages.get("/health/findings")
def findings() -> ResponseReturnValue:
    """Show the findings alone, for a page that waits for the end of an examination."""
    examination = _health().examination.last
    return render_template("_findings.html", examination=examination, groups=_grouped(examination.value or []))


@pages.post("/health/examine")
def examine() -> ResponseReturnValue:
    """Begin an examination."""
    _health().examination.ask()
    return redirect(url_for("health.show"), code=303)


@pages.post("/health/pause")
def pause() -> ResponseReturnValue:
    """Stop the pushes to the worker."""
    return _switched("pause", lambda reason: _health().stop_pushes(reason or NO_REASON, now=datetime.now(UTC)))


@pages.post("/health/resume")
def resume() -> ResponseReturnValue:
    """Push to the worker again."""
    return _switched("resume", lambda _: _health().resume_pushes())


def _switched(name: str, switch: Callable[[str], None]) -> ResponseReturnValue:
    subscription = _health().subscription
    action = actions.begin(console(), name, ids=[subscription], form=request.form)
    try:
        switch(action.reason)
    except RelayError:
        actions.end(console(), action, {"failed": [subscription]})
        raise
    actions.end(console(), action, {f"{name}d": [subscription]})
    _health().pushes.ask(wait_seconds=WAIT_SECONDS, after_change=True)
    _health().examination.forget()
    return redirect(url_for("health.show"), code=303)


def _grouped(found: list[Finding]) -> list[tuple[Verdict, list[Finding]]]:
    """Return the findings by verdict, what is bad first; verdicts without a finding are left out."""
    groups = [(verdict, [finding for finding in found if finding.verdict is verdict]) for verdict in _ORDER]
    return [(verdict, members) for verdict, members in groups if members]
