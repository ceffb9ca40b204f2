"""The search box leads to the page of what it is given, wherever the source has it, or says where nothing was found."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from relay.console.context import Console
from relay.console.reading import Reading
from relay.investigation.index import EventIndex
from tests.console.conftest import Browser, console_on, opened
from tests.console.test_lines import cloud_lines, line, took_in
from tests.support.cloud_logging import CloudLogging
from tests.support.entries import id_of, webhook

EVENT = 0xAB << 248


@pytest.fixture
def cloud() -> Iterator[CloudLogging]:
    with CloudLogging().running() as running:
        yield running


def found_by(browser: Browser, text: str) -> str:
    location: str = browser.get(f"/search?q={text}").location
    return location


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("ORD-1", "/order/ORD-1"),
        ("%20ORD-1%20", "/order/ORD-1"),
        ("ab0000", f"/event/{id_of(EVENT)}"),
        ("AB0000", f"/event/{id_of(EVENT)}"),
        ("000000", "/?event_id=000000"),
        ("abcdef", "/order/abcdef"),
        ("ord-1", "/order/ORD-1"),
        ("nowhere", "/?order_id=nowhere&q=nowhere"),
        ("", "/"),
    ],
)
def test_an_order_an_event_and_the_beginning_of_its_id_are_found(text: str, page: str) -> None:
    browser = opened(console_on(webhook(EVENT), webhook(1), webhook(2), webhook(3, order_id="abcdef")))

    assert found_by(browser, text) == page


def test_what_is_not_found_says_where_it_was_searched() -> None:
    browser = opened(console_on(webhook(1)))

    page = browser.get(found_by(browser, "nowhere")).text

    assert "No order, event or trace has the id nowhere there." in page
    assert "the test&#39;s lines: 1 events" in page
    assert "What OneStock tells" not in page


def test_an_order_whose_webhooks_never_arrived_leads_to_what_onestock_tells_of_it() -> None:
    browser = opened(console_on(webhook(1), environ={"ONESTOCK_API_URL": "http://127.0.0.1:9"}))

    searched, filtered = browser.get(found_by(browser, "ORD-5059")).text, browser.get("/?order_id=ORD-5059").text
    live = browser.get("/rows?order_id=ORD-5059&q=ORD-5059").text

    for page in (searched, live):
        assert "No order, event or trace has the id ORD-5059 there." in page
    assert "No event of order ORD-5059 there." in filtered
    assert 'data-live-url="/rows?q=ORD-5059&amp;order_id=ORD-5059"' in searched
    for page in (searched, filtered, live):
        assert '<a href="/order/ORD-5059">What OneStock tells of order ORD-5059</a>' in page


def test_what_is_older_than_the_window_is_found_in_cloud_logging_and_has_its_pages(cloud: CloudLogging) -> None:
    took_in(cloud, line(EVENT, time=datetime.now(UTC) - timedelta(days=3)))
    reading = Reading(cloud_lines(cloud, since=timedelta(hours=1)), EventIndex())
    browser = opened(Console(reading=reading, environ={}, allows_actions=False, is_local=False))

    order, event = found_by(browser, f"ORD-{EVENT}"), found_by(browser, id_of(EVENT)[:8])
    order_page, event_page = browser.get(order), browser.get(event)

    assert (order, event) == (f"/order/ORD-{EVENT}", f"/event/{id_of(EVENT)}")
    assert (order_page.status_code, event_page.status_code) == (200, 200)
    for page in (order_page.text, event_page.text):
        assert "Cloud Logging of the project test-relay" in page
        assert "<button>Send" not in page
    assert browser.get(f"/event/{id_of(5)}").status_code == 404
