"""The filters of the list of events: its page understands what the commands understand, and drops no text silently."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.console.conftest import console_on, opened
from tests.console.test_event_page import HANDLER_LINK
from tests.support.entries import START, delivery, id_of, webhook

OLD = webhook(1, seconds=-3 * 3_600)
NEW = webhook(2)


def list_with(query: str) -> str:
    return opened(console_on(OLD, NEW)).get(f"/?{query}").text


A_MINUTE_BEFORE = f"{START - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize("since", ["1h", "30m", A_MINUTE_BEFORE], ids=["1h", "30m", "a moment"])
def test_a_time_is_typed_as_in_the_commands_and_stays_in_its_field(since: str) -> None:
    page = list_with(f"since={since}")

    assert (f'data-key="{id_of(2)}"' in page, f'data-key="{id_of(1)}"' in page) == (True, False)
    assert f'name="since" placeholder="1h or 2026-01-31T09:30Z" value="{since}"' in page
    assert "<details open>" in page
    assert f"relay events --since {since} --json" in page


@pytest.mark.parametrize("until", ["19:00", "yesterday", "1 h"])
def test_a_time_that_is_not_understood_is_said_to_be_left_out_and_stays_in_its_field(until: str) -> None:
    page = list_with(f"until={until}")

    assert f"Until (UTC): &#39;{until}&#39; is not understood, so this filter is left out" in page
    assert "Write how long ago, such as 1h or 30m, or a time such as 2026-01-31T09:30Z" in page
    assert f'placeholder="30m or 2026-01-31T10:30Z" value="{until}"' in page
    assert "<details open>" in page


def test_a_place_that_is_not_known_is_said_to_be_left_out() -> None:
    assert "Where it is: &#39;nowhere&#39; is not understood, so this filter is left out" in list_with(
        "whereabouts=nowhere"
    )


@pytest.mark.parametrize(("words", "since"), [("15 min", "15m"), ("1 h", "1h"), ("6 h", "6h"), ("24 h", "24h")])
def test_a_quick_range_is_a_link_that_keeps_the_other_filters(words: str, since: str) -> None:
    page = list_with("order_id=ORD-1&since=15m")

    current = ' aria-current="true"' if since == "15m" else ""
    assert f'<a href="/?since={since}&amp;order_id=ORD-1"{current}>last {words}</a>' in page


def test_live_rows_keep_the_moment_at_which_the_page_was_opened() -> None:
    before = datetime.now(UTC) - timedelta(hours=1)
    page = list_with("since=1h")

    moment = page.partition('data-live-url="/rows?since=')[2].partition('"')[0].replace("%2B", "+").replace("%3A", ":")
    assert before <= datetime.fromisoformat(moment) <= datetime.now(UTC) - timedelta(hours=1)


def test_the_list_names_the_handler_that_failed_as_a_link_to_what_it_handled() -> None:
    page = opened(console_on(NEW, delivery(2, outcome="failed", reason="ValueError: no sku"))).get("/").text

    assert f"{HANDLER_LINK}: ValueError: no sku" in page


def test_a_row_of_another_day_than_today_has_its_date() -> None:
    yesterday = webhook(3, seconds=-86_400)
    today = replace(NEW, time=datetime.now(UTC))
    page = opened(console_on(yesterday, today)).get("/").text

    assert f">{yesterday.time:%Y-%m-%d} {yesterday.time:%H:%M:%S}.000</time>" in page
    assert f">{today.time:%H:%M:%S.%f}"[:-3] + "</time>" in page
