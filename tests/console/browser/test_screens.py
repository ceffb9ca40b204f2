"""Each screen, in light, in dark and on a telephone: nothing serious for axe, and nothing to scroll sideways."""

import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page

from relay.local.simulator import Simulator
from tests.support.browser import Visitor, faults_of, is_wider_than_the_screen
from tests.support.checkout import Checkout
from tests.support.running_console import running_console
from tests.support.screens import SCREENS

LOOKS = {"light": {}, "dark": {"dark": True}, "narrow": {"narrow": True}}
NUMBERS = itertools.count(1)


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest) -> dict[str, bool]:
    """Give one of the looks."""
    return LOOKS[request.param]


def at_home(local_run: Checkout, page: Page) -> str:
    """Open the list of events with a dead letter of its own on it, and return its URL."""
    order_id = f"ORD-{8000 + next(NUMBERS)}"
    lost = {"order_id": order_id, "date": int(time.time()), "old_state": "dispatched", "new_state": "lost"}
    local_run.send("order_state_changed", lost)
    page.goto(local_run.console_url)
    row = page.locator(f"tr[data-key]:has-text('{order_id}'):has-text('dead letter')")
    while not row.count():  # Until the test's time is over. Without JavaScript, a page does not load its rows itself.
        page.wait_for_timeout(200)
        page.goto(page.url)
    return page.url


def test_every_screen_can_be_read_by_everybody(local_run: Checkout, visitor: Visitor, look: dict[str, bool]) -> None:
    page = visitor.page(**look)
    home = at_home(local_run, page)
    faults: dict[str, list[str]] = {}
    for name, go in SCREENS.items():
        page.goto(home)
        go(page)
        page.wait_for_load_state()
        found = faults_of(page) + ["it scrolls sideways"] * is_wider_than_the_screen(page)
        faults |= {name: found} if found else {}

    assert faults == {}


def test_an_order_with_a_gap_is_no_wider_than_the_screen(
    visitor: Visitor, look: dict[str, bool], tmp_path: Path
) -> None:
    earlier = datetime.now(UTC) - timedelta(hours=4)
    lines = tmp_path / "receiver.log"
    lines.write_text(json.dumps({"time": earlier.isoformat(), "line": "webhook", "outcome": "refused"}) + "\n")
    page = visitor.page(**look)
    with Simulator.start() as simulator:
        simulator.site.place_order("ORD-1", items={"SKU-1": 1})
        simulator.site.move_order("ORD-1", "picking")
        simulator.site.history[0]["date"] = int(earlier.timestamp()) + 3600
        with running_console([lines], output=tmp_path / "console.log", variables=simulator.environ) as console:
            page.goto(console.url)
            page.wait_for_url(console.base)
            page.goto(f"{console.base}order/ORD-1")
            command = page.get_by_label("The command that publishes it")

            assert faults_of(page) == []
            assert not is_wider_than_the_screen(page)
            assert command.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_every_screen_is_reached_without_javascript_and_a_redrive_is_started(
    local_run: Checkout, visitor: Visitor
) -> None:
    page = visitor.page(javascript=False)
    home = at_home(local_run, page)
    headings = {}
    for name, go in SCREENS.items():
        page.goto(home)
        go(page)
        headings[name] = page.get_by_role("heading", level=1).inner_text().split()[0]

    assert headings.keys() == SCREENS.keys()
    assert headings["redrive"] == "Redrive"
