"""The worker as a Flask application: `/health`, the push endpoint in front, 404 and 405 for the rest."""

from http import HTTPStatus

from flask import Flask, Response, abort

from relay.settings.worker import WorkerSettings
from relay.worker.auth import Authenticate
from relay.worker.dispatch import Dispatcher
from relay.worker.endpoint import PATH, PushEndpoint


def create_app(settings: WorkerSettings, *, authenticate: Authenticate, dispatcher: Dispatcher) -> Flask:
    """Return the worker."""
    app = Flask("relay.worker")
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.add_url_rule("/health", "health", lambda: {"status": "ok"}, methods=["GET"])
    # Only what the endpoint does not take reaches this: another method (405).
    app.add_url_rule(PATH, view_func=_not_found, methods=["POST"])
    endpoint = PushEndpoint(settings, authenticate=authenticate, dispatcher=dispatcher, otherwise=app.wsgi_app)
    app.wsgi_app = endpoint  # type: ignore[method-assign] # Flask's documented place for a WSGI middleware
    return app


def _not_found() -> Response:
    abort(HTTPStatus.NOT_FOUND)
