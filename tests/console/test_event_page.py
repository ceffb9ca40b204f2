"""The page of one event: its way, its body as text, what differs from the event before, and copies."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from relay import logs
from relay.console.pages.event import MAX_STEPS
from relay.events import event_id_of
from relay.investigation.entries import Entry, read_entries
from relay.investigation.payload import MAX_SHOWN
from relay.settings.base import LogContent
from tests.console.conftest import console_on, opened
from tests.support.entries import START, delivery, id_of, refused, webhook

EVENT_TYPE = "order_state_changed"


def received(
    body: bytes, *, seconds: float = 0, mode: LogContent = LogContent.FULL, event_type: str = EVENT_TYPE
) -> Entry:
    """Return the line that the receiver writes for this body."""
    labels = {"event_id": event_id_of(event_type, body), "event_type": event_type, "order_id": "ORD-1"}
    told: dict[str, Any] = {"line": "webhook", "outcome": "published", "status": 202, "message_id": "7"}
    told |= {"latency_ms": 3.5, "body_bytes": len(body), **labels, **logs.content_fields(body, mode, verified=True)}
    return Entry(time=START + timedelta(seconds=seconds), fields=told, labels=labels, severity="INFO")


def said(event_id: str, message: str, *, seconds: float = 2) -> Entry:
    """Return a line of a handler."""
    return Entry(
        time=START + timedelta(seconds=seconds),
        fields={"message": message},
        labels={"event_id": event_id},
        severity="ERROR",
    )


HANDLER_LINK = (
    '<a class="handler" href="/?handler=handlers.orders.follow_order">handlers.<wbr>orders.<wbr>follow_<wbr>order</a>'
)


def json_body(**fields: Any) -> bytes:
    return json.dumps({"order_id": "ORD-1", **fields}).encode()


def page_of(*entries: Entry, of: str = "", is_local: bool = True) -> str:
    """Return what a person reads on an event's page."""
    browser = opened(console_on(*entries, is_local=is_local))
    answer = browser.get(f"/event/{of or entries[0].event_id}")
    assert answer.status_code == 200
    return answer.text


def shown_body(page: str) -> str:
    found = re.search(r'<pre class="body"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found
    return html.unescape(found[1])


def test_the_way_names_each_attempt_and_handler_with_its_duration_and_reason_and_what_handlers_logged() -> None:
    page = page_of(webhook(1), delivery(1, outcome="failed", reason="ValueError: no sku"), said(id_of(1), "no <sku>"))

    steps = page[page.index('<ol class="timeline">') :]
    for text in ("as message 1", "attempt 1", HANDLER_LINK, "3.5 ms", "ValueError: no sku"):
        assert text in steps
    assert steps.index("received") < steps.index("ValueError") < steps.index("ERROR: no &lt;sku&gt;")
    assert "being retried" in page
    assert f"relay trace {id_of(1)} --json" in page


def test_beside_where_the_event_is_now_stands_why_its_handlers_failed() -> None:
    failed = page_of(webhook(1), delivery(1, outcome="failed", reason="ValueError: no sku"))
    mended = page_of(webhook(1), delivery(1, outcome="failed", reason="ValueError: no sku"), delivery(1, seconds=2))

    now = failed[failed.index("<p>Now:") : failed.index('<ol class="timeline">')]
    assert f"{HANDLER_LINK}: ValueError: no sku" in now
    assert "ValueError" not in mended[mended.index("<p>Now:") : mended.index('<ol class="timeline">')]


def test_an_event_is_opened_by_the_beginning_of_its_id_and_an_unknown_one_says_where_it_was_searched() -> None:
    browser = opened(console_on(webhook(0xAB << 248)))

    assert id_of(0xAB << 248) in browser.get("/event/ab0000").text
    answer = browser.get("/event/dd0000")
    assert (answer.status_code, "the test&#39;s lines: 1 events" in answer.text) == (404, True)
    assert browser.get('/event/"or"').status_code == 404


@pytest.mark.parametrize("id_", ["5", "ab000", "no-hex-at-all"])
def test_what_can_begin_no_event_id_is_said_to_be_none_and_was_not_searched(id_: str) -> None:
    answer = opened(console_on(webhook(0xAB << 248))).get(f"/event/{id_}")

    assert answer.status_code == 404
    assert f"{id_} is no event id: write its first 6 hex digits at least." in answer.text
    assert "Searched was" not in answer.text
    assert "Not Found: " not in answer.text


def test_a_refused_webhook_has_a_page_too() -> None:
    assert "no signature" in page_of(refused(1), of="~1")


@pytest.mark.parametrize(
    "body",
    [
        b'{"order_id": "ORD-1", "note": "<script>alert(1)</script></pre>"}',
        b'{"order_id": "ORD-1", "half": "\\ud800"}',
        b"[" * 900 + b"]" * 900,
        b"[" * 70_000,
        b"[" * 60 + b"1," * 60_000 + b"1" + b"]" * 60,
        b"\xff\x00 not UTF-8 <b>",
        b"not JSON & <i>",
        b"{}",
        b'{"n": NaN}',
    ],
)
def test_a_hostile_body_is_text_on_a_page_of_bounded_size(body: bytes) -> None:
    page = page_of(received(body))

    assert len(page) < 10 * MAX_SHOWN
    assert "<script>alert" not in page
    assert "<i>" not in page
    assert len(shown_body(page)) <= MAX_SHOWN


def test_a_body_of_10_mb_is_shown_by_its_beginning_and_it_is_said_where_the_whole_is() -> None:
    body = json_body(items=["x" * 100] * 95_000)

    page = page_of(received(body))

    assert "The log holds only the beginning of the body, or its size. The whole body, 9," in page
    assert shown_body(page).startswith('{"order_id": "ORD-1"')
    assert "Send again" not in page
    assert "Copy as" not in page


@pytest.mark.parametrize(
    ("mode", "note"), [(LogContent.REDACTED, "are masked"), (LogContent.OFF, "holds nothing of the body")]
)
def test_it_is_said_what_the_log_does_not_hold_of_the_body(mode: LogContent, note: str) -> None:
    page = page_of(received(json_body(customer="Invented Name"), mode=mode))

    assert note in page
    assert "Invented Name" not in page


def test_the_difference_to_the_event_before_names_the_fields_that_differ() -> None:
    first = received(json_body(new_state="picking", same=1, items=[{"n": 1}]))
    second = received(json_body(new_state="packed", same=1, items=[{"n": 2}]), seconds=5)

    page = page_of(first, second, of=second.event_id)

    assert re.findall(r'<td data-label="Field"><code>(.*?)</code>', page) == ["new_state", "items[0].n"]
    assert "<del>&#34;picking&#34;</del>" in page
    assert "<ins>&#34;packed&#34;</ins>" in page
    assert "Difference to" not in page_of(first, second, of=first.event_id)


def test_an_answer_within_a_millisecond_is_not_said_to_take_none() -> None:
    page = opened(console_on(webhook(1, latency_ms=0.3))).get("/").text

    assert '<td data-label="Answered in" class="number">&lt;1 ms</td>' in page


def test_a_live_page_asks_only_for_steps_that_it_does_not_show() -> None:
    console = console_on(webhook(1), delivery(1))
    browser = opened(console)

    assert browser.get(f"/event/{id_of(1)}/story?have=2").status_code == 204
    console.reading.index.add([said(id_of(1), "once more")])
    assert "once more" in browser.get(f"/event/{id_of(1)}/story?have=2").text


def test_of_a_way_without_end_the_first_and_the_last_steps_are_shown() -> None:
    lines = [said(id_of(1), f"line {number}.", seconds=2 + number) for number in range(MAX_STEPS + 100)]

    page = page_of(webhook(1), *lines)

    assert page.count('class="step step-') == MAX_STEPS
    assert "101 steps are left out here" in page
    assert f"line {MAX_STEPS + 99}." in page


def test_in_production_there_is_no_button() -> None:
    page = page_of(received(json_body()), is_local=False)

    assert "<form method" not in page
    assert "Edit and send again" not in page


def test_half_of_a_surrogate_pair_in_a_line_breaks_no_page() -> None:
    run = {"name": "a", "outcome": "failed", "reason": "\ud800"}
    labels = {"event_id": id_of(1), "order_id": "half \udfff, whole \U0001f600"}
    fields = {"line": "delivery", "time": START.isoformat(), "handlers": [run], "logging.googleapis.com/labels": labels}
    browser = opened(console_on(*read_entries(json.dumps(fields))))

    for page in ("/", f"/event/{id_of(1)}"):
        assert "half ?, whole \U0001f600" in browser.get(page).text
