"""The receiver as a Flask application: the webhook view, `/health`, and what each ending is answered with."""

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from flask import Flask, Request, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, HTTPException

from relay.errors import BodyIncomplete, BodyTooLarge
from relay.message import is_event_type
from relay.pubsub.publisher import Publisher
from relay.receiver.acceptance import Acceptance, Decision, Ending, Webhook
from relay.receiver.admission import BODY_SECONDS, Admission, Place
from relay.receiver.signature import HEADER
from relay.settings.receiver import ReceiverSettings
from relay.tracing import Trace

PATH = "/webhooks/onestock"
RETRY_AFTER_SECONDS = 30  # OneStock's own first pause ("Webhook configuration").
PIECE_BYTES = 65_536
CHUNKED_BUFFERS_BYTES = 4_000_000  # gunicorn holds copies of a chunk of up to 1 MiB while it takes a body apart.

# What the caller is told: never why a signature failed, never a library's text.
_ERRORS = {
    Ending.REFUSED: "signature missing or wrong",
    Ending.TOO_LARGE: "body too large",
    Ending.NOT_PUBLISHED: "not stored, send it again",
    Ending.OVERLOADED: "too much at once, send it again",
    Ending.BROKEN_OFF: "body incomplete",
    Ending.UNEXPECTED: "not stored, send it again",
}

logger = logging.getLogger(__name__)


def create_app(settings: ReceiverSettings, *, publisher: Publisher, now: Callable[[], float] = time.time) -> Flask:
    """Return the receiver. `now` gives Unix seconds, for the signature's age."""
    app = Flask("relay.receiver")
    # One byte more than allowed, so that the view sees a chunked body that is too large and writes its line.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    acceptance = Acceptance(settings, publisher, now=now)
    admission = Admission(max_webhooks=settings.max_waiting_publishes, max_body_bytes=settings.max_bytes_under_way)

    def receive_webhook(event_type: str | None = None) -> ResponseReturnValue:
        if event_type is not None and not is_event_type(event_type):
            abort(HTTPStatus.NOT_FOUND)
        with admission.place() as place:
            decision = acceptance.accept(
                _webhook_of(request, event_type),
                lambda: _read_body(request, place, max_bytes=settings.max_body_bytes),
            )
        return _answer(decision)

    app.add_url_rule(PATH, view_func=receive_webhook, methods=["POST"])
    app.add_url_rule(f"{PATH}/<event_type>", view_func=receive_webhook, methods=["POST"])
    app.add_url_rule("/health", "health", lambda: {"status": "ok"}, methods=["GET"])
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected_error)
    return app


def _webhook_of(request: Request, event_type: str | None) -> Webhook:
    return Webhook(
        path=request.path,
        event_type=event_type,
        content_type=request.headers.get("Content-Type", ""),
        signature=request.headers.get(HEADER),
        trace=Trace.continued(request.headers.get("traceparent")),
        received_at=datetime.now(UTC),
        started=time.monotonic(),
    )


def _read_body(request: Request, place: Place, *, max_bytes: int) -> bytes:
    """Return the whole body, counted in `place` before it is read.

    Raises BodyTooLarge, BodyIncomplete if the sender hangs up before its end or sends malformed chunks, and Overloaded.
    """
    place.enter(_hanging_up(request))
    length = request.content_length
    if length is not None and length > max_bytes:
        raise BodyTooLarge(f"the body has {length} bytes, {max_bytes} are allowed (MAX_BODY_BYTES)")
    place.add(min(CHUNKED_BUFFERS_BYTES, max_bytes) if length is None else length)
    body = bytearray()
    try:
        while piece := request.stream.read(PIECE_BYTES):
            if len(body) + len(piece) > max_bytes:
                raise BodyTooLarge(f"the body has more than the {max_bytes} bytes that are allowed (MAX_BODY_BYTES)")
            if length is None:
                place.add(len(piece))
            body += piece
    except ClientDisconnected as error:
        raise BodyIncomplete(_missing(place, f"{len(body)} bytes of the body")) from error
    except ParseException as error:
        raise BodyIncomplete(f"the chunks of the body are malformed: {error}") from error
    # Where a `before_request` of the customer's has read the body, the stream is at its end, and werkzeug has kept it.
    whole = bytes(body) or request.get_data(cache=False)
    if length is not None and len(whole) < length:
        raise BodyIncomplete(_missing(place, f"{len(whole)} of {length} bytes"))
    place.keep()
    return whole


def _hanging_up(request: Request) -> Callable[[], None]:
    """Return what ends the reading of the body from another thread: it finds the end of what was sent."""
    # Read here, since `request` means another request in another thread. Other servers than gunicorn tell no socket.
    connection: socket.socket | None = request.environ.get("gunicorn.socket")

    def hang_up() -> None:
        with suppress(OSError):  # The sender may have hung up meanwhile.
            if connection is not None:
                connection.shutdown(socket.SHUT_RD)

    return hang_up


def _missing(place: Place, received: str) -> str:
    if place.is_lost:
        return f"only {received} came within {BODY_SECONDS:.0f} s, and another webhook needed its place"
    return f"the sender hung up after {received}"


def _answer(decision: Decision) -> ResponseReturnValue:
    if decision.ending is Ending.PUBLISHED:
        body: dict[str, Any] = {"event_id": decision.event_id, "message_id": decision.message_id}
    else:
        body = {"error": _ERRORS[decision.ending]}
    return _reply(body, decision.ending.status)


def _reply(body: dict[str, Any], status: int) -> ResponseReturnValue:
    response = jsonify(body)
    response.status_code = status
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _http_error(error: HTTPException) -> ResponseReturnValue:
    """Answer 404 and 405 in JSON, with the headers that belong to them."""
    answer = Response(headers=error.get_response().headers, status=error.code)
    answer.data, answer.content_type = f'{{"error":"{error.name.lower()}"}}\n', "application/json"
    return answer


def _unexpected_error(error: Exception) -> ResponseReturnValue:
    """Answer 503, so that OneStock sends the webhook again. It comes from a `before_request`, or from the logging."""
    ending = Ending.UNEXPECTED
    fields = {"line": "webhook", "outcome": ending, "status": int(ending.status)}
    logger.error("Unexpected error in %s; answered 503", request.path, exc_info=error, extra={"json_fields": fields})
    return _reply({"error": _ERRORS[ending]}, ending.status)
