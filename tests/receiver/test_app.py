"""What each request to the receiver is answered, and what it leaves in the log."""

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, Response, request
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkSize, NoMoreData
from werkzeug.test import TestResponse

from relay.errors import MessageTooLarge, PublishError
from relay.receiver.app import create_app
from relay.settings.receiver import ReceiverSettings
from tests.support.topic import Topic
from tests.support.waiting import wait_until

PATH = "/webhooks/onestock/order_state_changed"
MAX_BODY_BYTES = 1_000
SETTINGS = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "PUBSUB_TOPIC": "events",
    "ONESTOCK_SIGNATURE": "off",
    "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
    "MAX_BYTES_UNDER_WAY": "2000",
    "MAX_WAITING_PUBLISHES": "3",
}


class BreakingOff:
    """A body that ends after a few bytes with an error of gunicorn's."""

    def __init__(self, error: Exception) -> None:
        self.pieces = [b'{"order_id"']
        self.error = error

    def read(self, _: int) -> bytes:
        if self.pieces:
            return self.pieces.pop()
        raise self.error


class MustNotBeRead:
    def read(self, size: int) -> bytes:
        raise AssertionError(f"{size} bytes of the body were read")


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def app(topic: Topic) -> Flask:
    return create_app(ReceiverSettings.from_environ(SETTINGS), publisher=topic)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def post(app: Flask, body: bytes = b"{}", path: str = PATH, **options: Any) -> TestResponse:
    return app.test_client().post(path, data=body, **options)


def post_stream(app: Flask, stream: Any, length: int | None) -> TestResponse:
    """Post as gunicorn hands over a request: its stream ends where the body ends. A body in chunks has no length."""
    framing = {"CONTENT_LENGTH": str(length)} if length is not None else {}
    overrides = {"wsgi.input": stream, "wsgi.input_terminated": True, **framing}
    return app.test_client().post(PATH, environ_overrides=overrides)


def post_in_chunks(app: Flask, body: bytes) -> TestResponse:
    return post_stream(app, io.BytesIO(body), None)


def fields_of(lines: pytest.LogCaptureFixture) -> dict[str, Any]:
    [record] = [record for record in lines.records if hasattr(record, "json_fields")]
    fields: dict[str, Any] = record.json_fields
    return fields


def test_a_202_names_the_event_and_its_message(app: Flask, topic: Topic) -> None:
    answer = post(app, b'{"order_id": "A-1"}')

    assert answer.status_code == 202
    assert answer.get_json() == {"event_id": topic.messages[0].event_id, "message_id": "m-1"}


@pytest.mark.parametrize(
    ("path", "event_type"),
    [
        (PATH, "order_state_changed"),
        ("/webhooks/onestock/commande-expédiée", "commande-expédiée"),
        ("/webhooks/onestock/%FF", "\N{REPLACEMENT CHARACTER}"),
        ("/webhooks/onestock", "unknown"),
    ],
)
def test_the_path_names_the_event_type(app: Flask, topic: Topic, path: str, event_type: str) -> None:
    assert post(app, path=path).status_code == 202
    assert topic.messages[0].event_type == event_type


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/webhooks",
        "/webhooks/onestocking",
        "/webhooks/onestock/",
        "//webhooks/onestock/a",
        "/webhooks/onestock/a/b",
        "/webhooks/onestock/a%2Fb",
        "/webhooks/onestock/%00",
        "/webhooks/onestock/" + "x" * 129,
    ],
)
def test_other_paths_are_404_in_json(app: Flask, topic: Topic, path: str) -> None:
    answer = post(app, path=path)

    assert (answer.status_code, answer.get_json()) == (404, {"error": "not found"})
    assert topic.messages == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", PATH, {"POST"}), ("OPTIONS", PATH, {"POST"}), ("POST", "/health", {"GET", "HEAD"})],
)
def test_other_methods_are_405_and_say_which_are_allowed(app: Flask, method: str, path: str, allowed: set[str]) -> None:
    answer = app.test_client().open(path, method=method)

    assert (answer.status_code, answer.get_json()) == (405, {"error": "method not allowed"})
    assert set(answer.allow) == allowed


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 202), (MAX_BODY_BYTES + 1, 413), (1_500, 413)])
def test_the_limit_holds_with_and_without_a_length(
    app: Flask, lines: pytest.LogCaptureFixture, size: int, status: int
) -> None:
    with_length = post(app, b"1" * size)
    fields = fields_of(lines)
    in_chunks = post_in_chunks(app, b"2" * size)

    assert (with_length.status_code, in_chunks.status_code) == (status, status)
    assert fields["status"] == status


def test_a_body_that_is_too_large_is_not_read(app: Flask) -> None:
    answer = post_stream(app, MustNotBeRead(), MAX_BODY_BYTES + 1)

    assert (answer.status_code, answer.get_json()) == (413, {"error": "body too large"})


@pytest.mark.parametrize("error", [NoMoreData(), ChunkMissingTerminator(b"xx"), InvalidChunkSize(b"x")], ids=repr)
@pytest.mark.parametrize("length", [100, None])
def test_a_body_that_breaks_off_is_never_published(
    app: Flask, topic: Topic, lines: pytest.LogCaptureFixture, length: int | None, error: Exception
) -> None:
    answer = post_stream(app, BreakingOff(error), length)

    assert (answer.status_code, topic.messages) == (400, [])
    assert fields_of(lines)["outcome"] == "broken_off"


def test_a_body_shorter_than_its_length_is_never_published(app: Flask, topic: Topic) -> None:
    answer = post_stream(app, io.BytesIO(b"{}"), 3)

    assert (answer.status_code, topic.messages) == (400, [])


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [(PublishError("frozen"), "not_published"), (RuntimeError("nobody foresaw this"), "unexpected")],
)
def test_what_is_not_stored_is_a_503_that_says_when_to_come_back_and_leaves_its_content(
    app: Flask, topic: Topic, lines: pytest.LogCaptureFixture, failure: Exception, outcome: str
) -> None:
    topic.failure = failure

    answer = post(app, b'{"order_id": "A-1"}')

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert answer.get_json() == {"error": "not stored, send it again"}
    fields = fields_of(lines)
    assert (fields["outcome"], fields["content"]) == (outcome, '{"order_id": "A-1"}')
    assert str(failure) in lines.text


def test_what_does_not_fit_into_a_message_is_a_413(app: Flask, topic: Topic) -> None:
    topic.failure = MessageTooLarge("even in gzip")

    assert post(app).status_code == 413


def test_too_many_webhooks_at_once_are_a_503_before_their_body_is_read(
    app: Flask, topic: Topic, lines: pytest.LogCaptureFixture
) -> None:
    topic.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        taken = [pool.submit(post, app) for _ in range(3)]
        wait_until(lambda: topic.waiting == 3, within=5)

        refused = post_stream(app, MustNotBeRead(), 10)
        healthy = app.test_client().get("/health")
        fields = fields_of(lines)
        topic.gate.set()

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
    assert (fields["outcome"], "MAX_WAITING_PUBLISHES" in fields["reason"]) == ("overloaded", True)
    assert healthy.status_code == 200
    assert [answer.result().status_code for answer in taken] == [202] * 3
    assert post(app).status_code == 202


def test_too_many_bytes_at_once_are_a_503_before_they_are_read(app: Flask, topic: Topic) -> None:
    topic.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(post, app, b"x" * 800) for _ in range(2)]
        wait_until(lambda: topic.waiting == 2, within=5)

        refused = post_stream(app, MustNotBeRead(), 700)
        in_chunks = post_in_chunks(app, b"x" * 700)
        topic.gate.set()

    assert (refused.status_code, in_chunks.status_code) == (503, 503)
    assert {answer.result().status_code for answer in taken} == {202}
    assert post(app, b"x" * 900).status_code == 202


def test_a_before_request_of_the_customers_sees_webhooks_and_may_read_and_refuse_them(app: Flask, topic: Topic) -> None:
    seen: list[bytes] = []

    @app.before_request
    def look() -> Response | None:
        seen.append(request.get_data())
        return Response(status=403) if b"refuse me" in seen[-1] else None

    answers = [post(app, b"{}"), post_in_chunks(app, b'{"order_id": "A-1"}'), post(app, b"refuse me")]

    assert [answer.status_code for answer in answers] == [202, 202, 403]
    assert seen == [b"{}", b'{"order_id": "A-1"}', b"refuse me"]
    assert [message.data for message in topic.messages] == seen[:2]


def test_a_fault_in_a_before_request_is_a_503_with_its_traceback(app: Flask, lines: pytest.LogCaptureFixture) -> None:
    @app.before_request
    def fail() -> None:
        raise RuntimeError("nobody foresaw this")

    answer = post(app)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert fields_of(lines) == {"line": "webhook", "outcome": "unexpected", "status": 503}
    assert "nobody foresaw this" in lines.text
