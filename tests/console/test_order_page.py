"""The page of one order: OneStock's history beside the events, a gap that nobody can overlook, and OneStock down."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.console.pages.order import ON_THE_WAY
from relay.investigation.entries import Entry
from relay.local.simulator import Simulator
from tests.console.conftest import Browser, console_on, opened
from tests.console.test_event_page import HANDLER_LINK, json_body, received
from tests.support.entries import delivery, webhook

HOURS_AGO = datetime.now(UTC) - timedelta(hours=3)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.start() as simulator:
        yield simulator


def moved(simulator: Simulator, *states: str, at: datetime = HOURS_AGO) -> list[dict[str, Any]]:
    """Place an order, bring it into each state, a minute after the one before, and return the changes."""
    site = simulator.site
    site.place_order("ORD-1", items={"SKU-1": 1})
    for state in states:
        site.move_order("ORD-1", state)
    for number, change in enumerate(site.history):
        change["date"] = int(at.timestamp()) + 60 * number
    site.orders["ORD-1"]["date"] = int(at.timestamp()) - 60
    return site.history


def arrived(change: dict[str, Any]) -> Entry:
    """Return the receiver's line of the event that tells a change."""
    return replace(received(json_body(**change)), time=datetime.fromtimestamp(change["date"] + 1, UTC))


def console_of(simulator: Simulator, *entries: Entry) -> Browser:
    earlier = replace(webhook(99, order_id="ORD-0"), time=HOURS_AGO - timedelta(hours=1))
    return opened(console_on(earlier, *entries, environ=simulator.environ))


def test_each_change_stands_beside_its_events_and_their_handlers(simulator: Simulator) -> None:
    changes = moved(simulator, "picking", "packed")
    events = [arrived(change) for change in changes]
    failed = delivery(1, outcome="failed", reason="ValueError: no sku")
    late = replace(failed, labels=events[1].labels, time=events[1].time + timedelta(seconds=1))

    page = console_of(simulator, *events, late).get("/order/ORD-1").text

    assert page.count('<tr data-key="picking-') == page.count('<tr data-key="packed-') == 1
    assert f"{HANDLER_LINK}: ValueError: no sku" in page
    assert f'href="/event/{events[0].event_id}"' in page
    assert "At OneStock now</dt><dd><strong>packed" in page
    assert 'class="gap"' not in page
    assert "relay trace --order ORD-1 --json" in page


def test_a_change_without_an_event_is_a_gap_that_says_what_it_means_and_how_to_close_it(simulator: Simulator) -> None:
    changes = moved(simulator, "picking", "packed", "fulfilled")

    page = console_of(simulator, arrived(changes[0]), arrived(changes[2])).get("/order/ORD-1").text

    gap = page[page.index('class="gap"') :]
    assert page.count('class="gap"') == 1
    assert "1 change of this order is missing here" in page
    assert "picking → packed" in gap
    assert "no line is about an event of it" in gap
    since = datetime.fromtimestamp(changes[1]["date"] - 1, UTC)
    placed = datetime.fromtimestamp(changes[0]["date"] - 60, UTC)
    assert f"relay reconcile --since {since:%Y-%m-%dT%H:%M:%SZ} --until" in gap
    assert f"--placed-since {placed:%Y-%m-%dT%H:%M:%SZ}" in gap


def test_a_young_change_without_an_event_is_no_fault_yet_and_one_before_the_lines_is_unknown(
    simulator: Simulator,
) -> None:
    moved(simulator, "picking", at=datetime.now(UTC))
    young = console_of(simulator).get("/order/ORD-1").text
    simulator.site.history.clear()
    moved(simulator, "picking", at=HOURS_AGO - timedelta(days=1))
    old = console_of(simulator).get("/order/ORD-1").text

    assert "OneStock may still send it" in young
    assert "1 change of this order is not here yet: OneStock may still send it." in young
    assert 'role="alert"' not in young
    assert "before the lines that were read" in old
    assert 'class="gap"' not in young + old


def test_in_production_a_change_may_be_on_its_way_for_an_hour(simulator: Simulator) -> None:
    assert timedelta(minutes=30) < ON_THE_WAY
    moved(simulator, "picking", at=datetime.now(UTC) - timedelta(minutes=20))
    console = console_on(arrived({"date": 1}), environ=simulator.environ, is_local=False)

    assert "OneStock may still send it" in opened(console).get("/order/ORD-1").text


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "OneStock is not asked: ONESTOCK_API_URL is not set"),
        ({"ONESTOCK_API_URL": "http://127.0.0.1:9"}, "OneStock could not be asked: ONESTOCK_SITE_ID is not set"),
    ],
)
def test_without_onestock_one_line_says_so_and_the_rest_of_the_page_works(environ: dict[str, str], said: str) -> None:
    event = arrived({"old_state": "placed", "new_state": "picking", "date": int(HOURS_AGO.timestamp())})
    handled = replace(delivery(1), labels=event.labels, time=event.time)

    page = opened(console_on(event, handled, environ=environ)).get("/order/ORD-1").text

    assert said in page
    assert "placed → picking" in page
    assert HANDLER_LINK in page
    assert 'class="gap"' not in page


def test_a_onestock_that_is_down_does_not_hold_the_page_for_long(simulator: Simulator) -> None:
    simulator.fail(503, times=1_000)
    began = time.monotonic()

    page = console_of(simulator, webhook(1)).get("/order/ORD-1").text

    assert "OneStock could not be asked: " in page
    assert time.monotonic() - began < 20


def test_an_order_that_nobody_knows_is_said_with_the_place_that_was_searched(simulator: Simulator) -> None:
    answer = console_of(simulator).get("/order/ORD-nowhere")

    assert answer.status_code == 404
    assert "OneStock knows no order ORD-nowhere" in answer.text
    assert "the test&#39;s lines: 1 events" in answer.text


def test_what_an_order_is_called_is_text() -> None:
    name = '<script>"/x'

    page = opened(console_on(webhook(1, order_id=name))).get(f"/order/{name.replace('/', '%2F')}").text

    assert "<script>&" not in page
    assert "&lt;script&gt;&#34;/x" in page
