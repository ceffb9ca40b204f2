"""The receiver as a Flask application: `/health`, the webhook endpoint in front, 404 and 405 for the rest."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Flask, Response, abort

from relay import log
from relay.pubsub.publisher import Publisher
from relay.receiver.endpoint import PATH, WebhookEndpoint
from relay.receiver.webhook import Relay
from relay.settings.receiver import ReceiverSettings

if TYPE_CHECKING:
    from relay.receiver.record import Recorder


def create_app(
    settings: ReceiverSettings,
    *,
    publisher: Publisher,
    now: Callable[[], float] = time.time,
    recorder: "Recorder | None" = None,
    write_line: log.WriteLine = log.write_by_logging,
) -> Flask:
    """Return the receiver. `now` gives Unix seconds, for the signature's age; see `Relay` for `recorder`."""
    app = Flask("relay.receiver")
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.add_url_rule("/health", "health", lambda: {"status": "ok"}, methods=["GET"])
    # Only what the endpoint does not take reaches these: another method (405), or a path that names no event type.
    app.add_url_rule(PATH, view_func=_not_found, methods=["POST"])
    app.add_url_rule(f"{PATH}/<event_type>", view_func=_not_found, methods=["POST"])
    relay = Relay(settings, publisher, now=now, recorder=recorder, write_line=write_line)
    endpoint = WebhookEndpoint(relay, max_body_bytes=settings.max_body_bytes, otherwise=app.wsgi_app)
    app.wsgi_app = endpoint  # type: ignore[method-assign] # Flask's documented place for a WSGI middleware
    return app


def _not_found(event_type: str = "") -> Response:  # noqa: ARG001 - the rule's
    abort(HTTPStatus.NOT_FOUND)
