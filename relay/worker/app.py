"""The worker as a Flask application: `/health`, the watchdog, the push endpoint in front, 404 and 405 for the rest."""

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, abort, request

from relay import log
from relay.errors import AuthenticationError, OneStockError
from relay.settings.worker import WorkerSettings
from relay.watchdog import Watchdog, text_of
from relay.worker.auth import Authenticate
from relay.worker.dispatch import Dispatcher
from relay.worker.endpoint import PATH, PushEndpoint

WATCHDOG_PATH = "/onestock/watchdog"

logger = logging.getLogger(__name__)


def create_app(
    settings: WorkerSettings,
    *,
    authenticate: Authenticate,
    dispatcher: Dispatcher,
    authenticate_scheduler: Authenticate | None = None,
    watchdog: Watchdog | None = None,
    write_line: log.WriteLine = log.write_by_logging,
) -> Flask:
    """Return the worker. Without a `watchdog`, its route is not found."""
    app = Flask("relay.worker")
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.add_url_rule("/health", "health", lambda: {"status": "ok"}, methods=["GET"])
    if watchdog is not None:
        look = _watchdog_view(watchdog, authenticate_scheduler or authenticate)
        app.add_url_rule(WATCHDOG_PATH, "watchdog", look, methods=["POST"])
    # Only what the endpoint does not take reaches this: another method (405).
    app.add_url_rule(PATH, view_func=_not_found, methods=["POST"])
    endpoint = PushEndpoint(
        settings,
        authenticate=authenticate,
        dispatcher=dispatcher,
        otherwise=app.wsgi_app,
        write_line=write_line,
    )
    app.wsgi_app = endpoint  # type: ignore[method-assign] # Flask's documented place for a WSGI middleware
    return app


def _not_found() -> Response:
    abort(HTTPStatus.NOT_FOUND)


def _watchdog_view(watchdog: Watchdog, authenticate: Authenticate) -> Any:
    def look() -> tuple[dict[str, Any], int]:
        """Let the watchdog look; 503 where OneStock cannot be asked, so that Cloud Scheduler tries again."""
        try:
            authenticate(request.headers.get("Authorization"))
            findings = watchdog.look()
        except AuthenticationError as error:
            logger.warning("Watchdog refused: %s", error.reason)
            return {}, error.status
        except OneStockError as error:
            # The text says it all.
            logger.error(  # noqa: TRY400
                "The webhooks cannot be watched: %s", error, extra={"json_fields": {"line": "webhook_watch_failed"}}
            )
            return {"problem": "OneStock cannot be asked; the log says why"}, HTTPStatus.SERVICE_UNAVAILABLE
        return {"webhooks": [text_of(finding) for finding in findings]}, HTTPStatus.OK

    return look
