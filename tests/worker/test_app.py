"""What each push is answered, whom it passes, and what its lines may hold."""

import base64
import io
import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask, Response, request
from werkzeug.test import TestResponse

from relay import Event, Reject, on
from relay.events import Delivery
from relay.logs import CloudHandler
from relay.registry import Registry
from relay.settings.worker import WorkerSettings
from relay.stores.memory import MemoryStore
from relay.worker.app import PUSH_PATH, create_app
from relay.worker.dispatch import Dispatcher, Limits

NAME = "Ada Invented"
SETTINGS = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_DEAD_LETTER_TOPIC": "dead", "PUSH_AUTH": "off"}
LIMITS = Limits(budget_seconds=5, lease_seconds=30, retention_seconds=60)


class Shelf:
    """Takes every dead letter."""

    def put(self, delivery: Delivery, *, reason: str, handler: str | None) -> None:
        """Keep nothing."""


class Shop:
    """One handler, which fails with the customer's name on its lips."""

    def __init__(self) -> None:
        self.handled: list[bytes] = []

    def registry(self) -> Registry:
        @on("order_state_changed", name="shop")
        def handle(event: Event) -> None:
            problem, name = event.content.get("problem"), event.content.get("name")
            if problem == "reject":
                raise Reject(f"no such customer: {name}")
            if problem == "fail":
                raise ValueError(f"cannot greet {name!r}")
            self.handled.append(event.raw_body)

        return Registry.of(handle)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def app_of(shop: Shop, **changes: str) -> Flask:
    store = MemoryStore(dateless_window_seconds=3_600)
    dispatcher = Dispatcher(shop.registry(), store, Shelf(), limits=LIMITS, ack_deadline_seconds=600)
    settings = WorkerSettings.from_environ(SETTINGS | changes)
    return create_app(settings, authenticate=lambda _: None, dispatcher=dispatcher)


@pytest.fixture
def app(shop: Shop) -> Flask:
    return app_of(shop)


@pytest.fixture
def written() -> Any:
    stream, root = io.StringIO(), logging.getLogger()
    handler = CloudHandler(stream, project="p", service="worker")
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def push(app: Flask, *, event_type: str = "order_state_changed", **content: Any) -> TestResponse:
    attributes = {"event_type": event_type, "received_at": datetime.now(UTC).isoformat()}
    data = base64.b64encode(json.dumps({"order_id": "A-1", **content}).encode()).decode()
    message = {"messageId": "1", "attributes": attributes, "data": data}
    return app.test_client().post(PUSH_PATH, json={"message": message, "subscription": "s"})


def test_a_before_request_of_the_customers_sees_pushes_and_may_read_and_refuse_them(app: Flask, shop: Shop) -> None:
    seen: list[bytes] = []

    @app.before_request
    def look() -> Response | None:
        seen.append(request.get_data())
        return Response(status=503) if len(seen) == 2 else None

    statuses = [push(app).status_code, push(app, name=NAME).status_code]

    assert statuses == [204, 503]
    assert (len(seen), len(shop.handled)) == (2, 1)


def test_a_fault_in_a_before_request_is_a_nack_with_its_traceback(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    @app.before_request
    def fail() -> None:
        raise RuntimeError("nobody foresaw this")

    assert push(app).status_code == 503
    assert "nobody foresaw this" in caplog.text


def test_half_an_unwrapped_push_is_no_event(app: Flask, shop: Shop) -> None:
    body = b'{"order_id": "A-1"}'
    headers = {"x-goog-pubsub-message-id": "1", "event_id": "e1", "event_type": "order_state_changed"}
    # As gunicorn hands over a request that breaks off: its stream just ends.
    broken_off = {
        "wsgi.input": io.BytesIO(body[:9]),
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": str(len(body)),
    }
    client = app.test_client()

    half = client.post(PUSH_PATH, headers=headers, environ_overrides=broken_off)
    whole = client.post(PUSH_PATH, headers=headers, data=body)

    assert (half.status_code, whole.status_code, shop.handled) == (400, 204, [body])


@pytest.mark.parametrize("problem", ["reject", "fail"])
@pytest.mark.parametrize(
    ("changes", "is_shown"),
    [({"LOG_CONTENT": "full"}, True), ({"LOG_CONTENT": "redacted"}, False), ({"LOG_CONTENT": "off"}, False)],
)
def test_neither_a_reason_nor_a_traceback_quotes_more_of_the_body_than_log_content_allows(
    shop: Shop, written: io.StringIO, problem: str, changes: dict[str, str], *, is_shown: bool
) -> None:
    answer = push(app_of(shop, **changes), problem=problem, name=NAME)

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    delivery = next(line for line in lines if line.get("line") == "delivery")
    assert answer.status_code == (204 if problem == "reject" else 503)
    assert (NAME in written.getvalue()) is is_shown
    assert (
        delivery["handlers"][0]["reason"]
        == {
            ("reject", True): f"no such customer: {NAME}",
            ("reject", False): "no such customer: ***",
            ("fail", True): f"ValueError: cannot greet {NAME!r}",
            ("fail", False): "ValueError: cannot greet '***'",
        }[problem, is_shown]
    )
    assert ("Traceback" in written.getvalue()) is (problem == "fail")


def test_the_line_says_when_only_handlers_of_every_type_took_the_event(
    written: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    class Audit(Shop):
        def registry(self) -> Registry:
            @on("*", name="audit")
            def note(event: Event) -> None:
                self.handled.append(event.raw_body)

            return Registry.of(note)

    push(app_of(Audit()), event_type="order_state_change")
    push(app_of(Shop()))

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    mistyped, named = [line for line in lines if line.get("line") == "delivery"]
    assert (mistyped["outcome"], mistyped["only_catch_all"]) == ("handled", True)
    assert mistyped["message"].endswith("only @on(\"*\") handlers took it; is 'order_state_changed' meant?")
    assert ("only_catch_all" in named, "@on" in named["message"]) == (False, False)
