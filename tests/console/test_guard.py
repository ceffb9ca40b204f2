"""The console answers only the reader who started it, and only his own pages may change things."""

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from flask import Flask
from flask.testing import FlaskClient

from relay import logs
from relay.console.app import console_app
from relay.console.guard import Guard
from tests.console.conftest import OUR_URL, OURS, PORT, TOKEN, Browser, client_of, console_on, opened
from tests.support.entries import webhook


def with_a_change(app: Flask) -> list[str]:
    """Add a view that changes something, and return what it did."""
    done: list[str] = []

    @app.post("/change")
    def change() -> str:
        done.append("changed")
        return "done"

    return done


@pytest.fixture
def app() -> Flask:
    return console_app(console_on(webhook(1)), Guard(port=PORT, token=TOKEN))


@pytest.mark.parametrize("host", ["evil.test", f"evil.test:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", ""])
def test_a_foreign_host_is_refused_even_with_a_session(app: Flask, host: str) -> None:
    client = app.test_client()
    Browser(client)

    assert client.get("/", base_url=OUR_URL, headers={"Host": host}).status_code == 421
    assert client.get(f"/open?token={TOKEN}", base_url=OUR_URL, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("path", ["/", "/rows", "/live", "/static/console.css", "/no-such-page"])
def test_without_a_session_nothing_is_shown(path: str) -> None:
    answer = client_of(console_on(webhook(1))).get(path, base_url=OUR_URL)

    assert answer.status_code == 401
    assert "ORD-1" not in answer.text


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "é"])
def test_a_wrong_start_up_token_opens_no_session(token: str) -> None:
    client = client_of(console_on())

    assert client.get("/open", query_string={"token": token}, base_url=OUR_URL).status_code == 403
    assert client.get("/", base_url=OUR_URL).status_code == 401


def test_the_session_is_a_strict_cookie_that_no_script_reads() -> None:
    answer = client_of(console_on()).get(f"/open?token={TOKEN}", base_url=OUR_URL)

    assert "SameSite=Strict" in answer.headers["Set-Cookie"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert TOKEN not in answer.headers["Set-Cookie"]


def test_a_form_of_our_own_page_may_change_things(app: Flask) -> None:
    done = with_a_change(app)

    assert Browser(app.test_client()).post("/change").status_code == 200
    assert done == ["changed"]


@pytest.mark.parametrize(
    "headers",
    [
        {**OURS, "Origin": "http://evil.test"},
        {**OURS, "Origin": "null"},
        {**OURS, "Origin": f"http://localhost:{PORT}"},
        {**OURS, "Sec-Fetch-Site": "cross-site"},
        {**OURS, "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": OUR_URL},
    ],
)
def test_a_change_from_elsewhere_is_refused(app: Flask, headers: dict[str, str]) -> None:
    done = with_a_change(app)
    client = app.test_client()
    csrf = Browser(client).csrf

    assert client.post("/change", base_url=OUR_URL, headers=headers, data={"csrf": csrf}).status_code == 403
    assert done == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_change_without_the_sessions_token_is_refused(app: Flask, method: str) -> None:
    client = app.test_client()
    Browser(client)

    assert client.open("/change", method=method, base_url=OUR_URL, headers=OURS).status_code == 403


def test_the_token_of_another_session_is_refused(app: Flask) -> None:
    done = with_a_change(app)
    of_another = Browser(app.test_client()).csrf

    assert Browser(app.test_client()).post("/change", csrf=of_another).status_code == 403
    assert done == []


def test_every_answer_tells_the_browser_to_run_nothing_but_our_own_files(app: Flask) -> None:
    client = app.test_client()
    for answer in (client.get("/", base_url=OUR_URL), Browser(client).get("/"), Browser(client).get("/no-such-page")):
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.fixture
def written() -> Iterator[StringIO]:
    """Give what the log gets."""
    stream = StringIO()
    before = logging.getLogger().handlers[:]
    logs.configure(project="test-relay", service="console", stream=stream)
    yield stream
    logging.getLogger().handlers[:] = before


def test_each_refusal_is_a_line_that_says_why_and_holds_no_token(app: Flask, written: StringIO) -> None:
    client: FlaskClient = app.test_client()
    client.get("/", base_url=OUR_URL, headers={"Host": "evil.test"})
    client.get("/open?token=a-guess", base_url=OUR_URL)
    client.get("/", base_url=OUR_URL)
    Browser(client).post("/change", csrf="a-guess")

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["line"], line["reason"]) for line in lines] == [
        ("console_refused", "the Host is not ours"),
        ("console_refused", "the start-up token is wrong"),
        ("console_refused", "there is no session"),
        ("console_refused", "the form's token is wrong"),
    ]
    assert "a-guess" not in written.getvalue()


def test_two_consoles_on_one_machine_do_not_take_each_others_sessions() -> None:
    other = Guard(port=PORT + 1, token=TOKEN)
    cookie = (
        console_app(console_on(), other)
        .test_client()
        .get(f"/open?token={TOKEN}", base_url=f"http://127.0.0.1:{PORT + 1}")
        .headers["Set-Cookie"]
    )

    assert f"relay_console_{PORT + 1}=" in cookie
    assert opened(console_on()).get("/").status_code == 200
