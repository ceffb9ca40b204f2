"""The console's Flask app. Its parts: the guard, one blueprint for each screen, and what every template shows."""

import re
from datetime import UTC, datetime
from http import HTTPStatus

from flask import Flask, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape
from werkzeug.exceptions import HTTPException

from relay import moments
from relay.console import context, live
from relay.console.context import Console
from relay.console.guard import Guard
from relay.console.pages import dead_letters, event, events, health, local_actions, order, webhooks
from relay.errors import ActionRefused, PlanRefused, RelayError
from relay.events import moment_of

MAX_FORM_BYTES = 12_000_000  # An edited event: the receiver takes 10 MB, and a form field grows when it is encoded.
BLUEPRINTS = (
    live.pages,
    events.pages,
    event.pages,
    local_actions.pages,
    order.pages,
    dead_letters.pages,
    webhooks.pages,
    health.pages,
)
SCREENS = (
    ("events.list_", "Events"),
    ("dead_letters.list_", "Dead letters"),
    ("webhooks.show", "Webhooks"),
    ("health.show", "Health"),
)


def console_app(console: Console, guard: Guard) -> Flask:
    """Return the app that serves `console` to those whom `guard` lets in."""
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=MAX_FORM_BYTES, MAX_FORM_MEMORY_SIZE=MAX_FORM_BYTES)
    context.keep(app.extensions, console)
    guard.protect(app)
    for pages in BLUEPRINTS:
        app.register_blueprint(pages)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        clock=_clock, dated_clock=_dated_clock, breakable=_breakable, moment=moments.shown, age=_age, unix=_unix
    )
    app.jinja_env.globals.update(console=console, screens=SCREENS)
    app.register_error_handler(RelayError, _failed)
    app.register_error_handler(ActionRefused, _refused)
    app.register_error_handler(PlanRefused, _not_planned)
    app.register_error_handler(HTTPException, _http_problem)
    return app


def _failed(error: RelayError) -> ResponseReturnValue:
    """Show what went wrong as a command would say it."""
    return _problem(str(error), HTTPStatus.BAD_GATEWAY)


def _refused(error: ActionRefused) -> ResponseReturnValue:
    return _problem(str(error), error.status)


def _not_planned(error: PlanRefused) -> ResponseReturnValue:
    return _problem(str(error), HTTPStatus.BAD_REQUEST)


def _http_problem(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None:
        return error.response
    return _problem(error.description or error.name, error.code or HTTPStatus.INTERNAL_SERVER_ERROR)


def _problem(text: str, status: int) -> ResponseReturnValue:
    came_from = request.referrer or ""
    is_ours = came_from.startswith(request.host_url) and came_from != request.url
    return render_template("problem.html", problem=text, back=came_from if is_ours else ""), status


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%H:%M:%S.%f}"[:-3]


def _dated_clock(moment: datetime) -> str:
    """Return the time of day, with the date unless it is today's."""
    is_today = moment.astimezone(UTC).date() == datetime.now(UTC).date()
    return _clock(moment) if is_today else f"{moment.astimezone(UTC):%Y-%m-%d} {_clock(moment)}"


def _breakable(name: str) -> Markup:
    """Return the name of a handler as HTML that breaks after `.` and `_`, not inside a word."""
    return Markup(re.sub(r"([._])", r"\1<wbr>", escape(name)))  # noqa: S704 - escaped


def _age(moment: datetime) -> str:
    """Return how long ago it was, with one unit."""
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    units = ((86_400, "d"), (3_600, "h"), (60, "min"))
    return next((f"{seconds / size:.0f} {name}" for size, name in units if seconds >= 1.5 * size), f"{seconds:.0f} s")


def _unix(seconds: float) -> str:
    moment = moment_of(seconds)
    return moments.shown(moment) if moment else "?"
