"""What a developer does with one event of the local run: each action ends on the event's page, or with a clear text."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler

import pytest

from relay.events import event_id_of
from relay.investigation.entries import Entry
from relay.local.environment import CONTROL_URL
from relay.local.serving import serving
from relay.receiver.signature import HEADER, verify
from relay.settings.receiver import SignedString
from tests.console.conftest import Browser, console_on, opened
from tests.console.test_event_page import EVENT_TYPE, json_body, received
from tests.support.entries import delivery

BODY = json_body(new_state="packed")
EVENT = received(BODY)
DELIVERED = replace(delivery(1), labels=EVENT.labels)
PAGE = f"/event/{EVENT.event_id}"
KEYS = "newest-key, older-key"


@dataclass
class Answering:
    """Something that answers in place of the receiver and of the local run's control."""

    status: int = 202
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        answering = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answering.requests.append((self.path, self.headers.get(HEADER, ""), body))
                self.send_response(answering.status)
                self.end_headers()
                self.wfile.write(b'{"problem": "invented problem", "event_id": "ab"}')

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        return Handler


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
def browser(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    monkeypatch.setattr("relay.console.waiting.SEEN_WITHIN_SECONDS", 0.05)
    with serving(answering.handler()) as url:
        yield beside(url, EVENT, DELIVERED)


def beside(url: str, *entries: Entry) -> Browser:
    """Return a browser on `entries`; the receiver and the local run's control answer at `url`."""
    environ = {"RECEIVER_URL": url, CONTROL_URL: url, "ONESTOCK_HASH_KEYS": KEYS}
    return opened(console_on(*entries, environ=environ))


def test_send_again_sends_the_same_body_signed_with_the_newest_key_and_leads_to_the_event(
    browser: Browser, answering: Answering
) -> None:
    answer = browser.post(f"{PAGE}/send")

    path, header, body = answering.requests[0]
    assert (path, body) == (f"/webhooks/onestock/{EVENT_TYPE}", BODY)
    verify(
        header,
        body,
        keys=(b"newest-key",),
        signed_string=SignedString.TIMESTAMP_BODY,
        tolerance_seconds=60,
        now=int(header.split("t=")[1].split(",")[0]),
    )
    assert (answer.status_code, answer.location) == (303, f"{PAGE}?done=sent")
    assert "It is the same event" in browser.get(answer.location).text


def test_the_form_says_that_what_it_sends_is_another_event_also_without_a_change(browser: Browser) -> None:
    page = browser.get(f"{PAGE}/edit").text

    assert "Also without a change it is another event, and its handlers run" in page


def test_an_edited_body_leads_to_the_event_that_it_is(browser: Browser, answering: Answering) -> None:
    edited = '{\r\n  "order_id": "ORD-1"\r\n}'

    answer = browser.post(f"{PAGE}/edit", {"body": edited})

    sent = answering.requests[0][2]
    assert json.loads(sent) == {"order_id": "ORD-1"}
    assert answer.location == f"/event/{event_id_of(EVENT_TYPE, sent)}?done=edited"


@pytest.mark.parametrize("text", ['{"a": <b>}', "", "NaN", "[" * 100_000])
def test_what_is_no_json_is_not_sent_and_stays_in_the_field(browser: Browser, answering: Answering, text: str) -> None:
    answer = browser.post(f"{PAGE}/edit", {"body": text})

    assert (answer.status_code, answering.requests) == (400, [])
    assert "Not sent: " in answer.text
    assert text.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;") in answer.text


def test_a_receiver_that_refuses_is_told_with_its_answer(browser: Browser, answering: Answering) -> None:
    answering.status = 401

    again, edited = browser.post(f"{PAGE}/send"), browser.post(f"{PAGE}/edit", {"body": '{"kept": 1}'})

    for answer in (again, edited):
        assert (answer.status_code, "The receiver did not take it: 401 in" in answer.text) == (502, True)
    assert "kept" in edited.text


def test_a_receiver_that_is_down_is_told() -> None:
    browser = opened(console_on(EVENT, environ={"RECEIVER_URL": "http://127.0.0.1:9", "ONESTOCK_HASH_KEYS": KEYS}))

    assert "no answer in" in browser.post(f"{PAGE}/send").text


def test_running_the_handlers_again_is_asked_of_the_run(browser: Browser, answering: Answering) -> None:
    answering.status = 200
    answer = browser.post(f"{PAGE}/rerun")
    answering.status = 400
    refused = browser.post(f"{PAGE}/rerun")

    path, _, content = answering.requests[0]
    assert (path, json.loads(content), answer.location) == (
        "/rerun",
        {"event_id": EVENT.event_id},
        f"{PAGE}?done=rerun",
    )
    assert (refused.status_code, "It does not run again: invented problem" in refused.text) == (502, True)


def test_the_handlers_of_an_event_that_is_not_delivered_yet_run_when_it_is_and_not_again(answering: Answering) -> None:
    button, disabled = "<button>Run handlers again</button>", '<button disabled title="It was not delivered yet'
    with serving(answering.handler()) as url:
        browser = beside(url, EVENT)
        waiting, refused = browser.get(PAGE).text, browser.post(f"{PAGE}/rerun")
        delivered = beside(url, EVENT, DELIVERED)

        assert disabled in waiting
        assert (refused.status_code, answering.requests) == (409, [])
        assert "It was not delivered yet: its handlers run when it is." in refused.text
        assert button in delivered.get(PAGE).text
        assert button in delivered.get(f"{PAGE}/story?have=1").text


def test_an_action_is_a_log_line_with_the_account_and_the_event(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    browser.post(f"{PAGE}/send", {"reason": "after a change"})

    lines = [getattr(record, "json_fields", {}) for record in caplog.records]
    begun = next(line for line in lines if line.get("line") == "console_action")
    assert (begun["action"], begun["ids"], begun["reason"]) == ("send", [EVENT.event_id], "after a change")
    assert begun["account"]


@pytest.mark.parametrize("action", ["send", "edit", "rerun"])
def test_in_production_they_are_refused(action: str) -> None:
    browser = opened(console_on(EVENT, is_local=False))

    assert browser.post(f"{PAGE}/{action}").status_code == 403


def test_a_body_that_the_log_does_not_hold_whole_is_not_sent_and_it_is_said_why() -> None:
    cut = received(json_body(items=["x" * 100] * 2_000))
    browser = opened(console_on(cut))

    answer = browser.post(f"/event/{cut.event_id}/send")

    assert (answer.status_code, "Not sent. The log holds only the beginning" in answer.text) == (409, True)
