"""The list of events in a browser, beside a local run: what happens is on the page within a second."""

import itertools
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from relay.console.context import MAX_STREAMS
from tests.support.browser import Visitor
from tests.support.checkout import Checkout
from tests.support.ports import free_port
from tests.support.running_console import running_console
from tests.support.waiting import wait_until

ROWS = "tr[data-key]"
NUMBERS = itertools.count(9001)


def happen(local_run: Checkout, **content: str) -> tuple[str, float]:
    """Let an order be placed, and return its id and the moment at which OneStock got its 202."""
    order_id = f"ORD-{next(NUMBERS)}"
    changed = {"order_id": order_id, "date": int(time.time()), "old_state": "new", "new_state": "placed"}
    return order_id, local_run.send("order_state_changed", changed | content)


@pytest.fixture
def events(local_run: Checkout, page: Page) -> Page:
    """Open the list beside the run, which has one event at least."""
    happen(local_run)
    page.goto(local_run.console_url)
    page.wait_for_selector(ROWS)
    return page


def test_the_printed_url_opens_the_list_and_leaves_its_token_in_no_address(local_run: Checkout, events: Page) -> None:
    base = local_run.console_url.partition("open?")[0]
    [cookie] = events.context.cookies()

    assert events.url == base
    assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
    assert str(cookie.get("value")) not in local_run.console_url


def test_without_the_token_there_is_nothing_to_see(local_run: Checkout, visitor: Visitor) -> None:
    visitor.expect("401")
    stranger = visitor.page()
    stranger.goto(local_run.console_url.partition("open?")[0])

    expect(stranger.locator("body")).to_have_text(
        "Refused: there is no session. Open the URL that the console printed."
    )


def test_an_event_is_on_the_page_within_a_second_of_its_202(local_run: Checkout, events: Page) -> None:
    seconds = []
    for _ in range(5):
        order_id, answered_at = happen(local_run)
        events.wait_for_selector(f"td:has-text('{order_id}')")
        seconds.append(time.perf_counter() - answered_at)

    print("seconds from the 202 to the row:", [round(each, 2) for each in seconds])
    assert statistics.median(seconds) < 1
    expect(events.locator(ROWS).first).to_contain_text("handled")


def test_a_page_whose_live_updates_are_stopped_stands_still_says_how_many_came_and_shows_them_when_it_goes_on(
    local_run: Checkout, events: Page
) -> None:
    events.get_by_role("button", name="Stop live updates").click()
    before = events.locator("#rows").inner_text()
    came = [happen(local_run)[0] for _ in range(3)]

    expect(events.locator("#newer")).to_have_text("3 newer events: go on to see them")
    assert events.locator("#rows").inner_text() == before
    events.get_by_role("button", name="Go on").click()
    for order_id in came:
        expect(events.locator(ROWS).filter(has_text=order_id)).to_have_count(1)


def test_a_page_for_which_there_is_no_stream_says_so_and_is_live_once_there_is_one(
    local_run: Checkout, visitor: Visitor
) -> None:
    visitor.expect("status of 503")
    base = local_run.console_url.partition("open?")[0]
    with requests.Session() as others, ExitStack() as streams:
        others.get(local_run.console_url, timeout=20)
        for _ in range(MAX_STREAMS):
            # A page that an earlier test has left may hold its stream for some moments.
            wait_until(lambda: streams.enter_context(others.get(f"{base}live", stream=True, timeout=20)).ok, within=20)
        page = visitor.page()
        page.goto(local_run.console_url)
        expect(page.locator("#newer")).to_contain_text("Not live")

    expect(page.locator("#newer")).to_have_text("", timeout=20_000)
    order_id, _ = happen(local_run)
    expect(page.locator(ROWS).filter(has_text=order_id)).to_have_count(1)


def test_a_page_whose_request_failed_goes_on_with_the_next_event(
    local_run: Checkout, events: Page, visitor: Visitor
) -> None:
    visitor.expect("net::ERR_|htmx:")
    events.route("**/rows*", lambda route: route.abort(), times=1)
    with events.expect_event("requestfailed"):
        happen(local_run)

    order_id, _ = happen(local_run)
    expect(events.locator(ROWS).filter(has_text=order_id)).to_have_count(1)


def test_a_page_that_a_restarted_console_no_longer_knows_says_which_url_to_open_and_asks_no_more(
    visitor: Visitor, tmp_path: Path
) -> None:
    visitor.expect("status of 401")
    visitor.expect("net::ERR_|htmx:")  # While no console runs, the page fails to connect in several ways.
    lines, port = tmp_path / "services.log", free_port()
    lines.write_text("")
    page = visitor.page()
    with running_console([lines], output=tmp_path / "before.log", port=port) as before:
        page.goto(before.url)
        expect(page.locator("[data-live]")).to_be_visible()

    with running_console([lines], output=tmp_path / "after.log", port=port) as after:
        expect(page.locator("#newer")).to_have_text(
            "Not live: the console was started again. Open the URL that it printed."
        )
        page.wait_for_timeout(3000)  # Longer than the page waited before it asked again.
        assert len(after.lines("console_refused")) == 2
        page.goto(after.url)
        expect(page.locator("#newer")).to_have_text("")


def test_a_keyboard_is_enough_to_search_to_move_and_to_open(local_run: Checkout, events: Page) -> None:
    order_id, _ = happen(local_run)
    events.wait_for_selector(f"td:has-text('{order_id}')")
    selected = events.locator("tr[aria-selected]")

    events.keyboard.press("j")
    expect(selected).to_contain_text(order_id)
    events.keyboard.press("j")
    expect(selected).not_to_contain_text(order_id)
    events.keyboard.press("k")
    newest, _ = happen(local_run)
    events.wait_for_selector(f"td:has-text('{newest}')")
    expect(selected).to_contain_text(order_id)
    event_id = selected.get_attribute("data-key") or ""
    events.keyboard.press("Enter")
    events.wait_for_url(f"**{event_id}*")
    events.keyboard.press("/")
    expect(events.locator("#q")).to_be_focused()
    events.keyboard.press("Escape")
    expect(events.locator("#q")).not_to_be_focused()
    events.keyboard.press("/")
    events.keyboard.type(newest)
    events.keyboard.press("Enter")
    events.wait_for_url(f"**{newest}*")


def test_without_javascript_the_list_its_filter_and_its_search_work(local_run: Checkout, visitor: Visitor) -> None:
    order_id, _ = happen(local_run, new_state="lost")
    plain = visitor.page(javascript=False)
    plain.goto(local_run.console_url)
    plain.wait_for_selector(ROWS)

    expect(plain.get_by_role("button", name="Stop live updates")).to_be_hidden()
    plain.get_by_label("Where it is").select_option("dead letter")
    plain.get_by_role("button", name="Filter").click()
    expect(plain.locator(ROWS).filter(has_text=order_id)).to_contain_text("follow: invented: the parcel has no weight")
    plain.get_by_label("Order id, event id or trace id").fill(order_id)
    plain.keyboard.press("Enter")
    expect(plain.get_by_role("heading", level=1)).to_have_text(f"Order {order_id}")
    expect(plain.locator(ROWS).first).to_contain_text("the parcel has no weight")
