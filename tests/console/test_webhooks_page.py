"""The Webhooks screen: what OneStock says of its webhooks, what came in, and whether it adds up."""

import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.console.context import Console
from relay.console.lines import MAX_SEARCHED_LINES, CloudLines
from relay.console.reading import Reading
from relay.investigation.cloud_logging import CloudLog
from relay.investigation.entries import Entry
from relay.investigation.index import EventIndex
from relay.investigation.records import EventFilter
from relay.local.simulator import Simulator, Status
from tests.console.conftest import Browser, GivenLines, client_of, console_on, opened
from tests.support.cloud_logging import CloudLogging
from tests.support.entries import START, delivery, id_of, refused, webhook
from tests.support.waiting import wait_until

OURS = "https://receiver.example/webhooks/onestock"
SINCE = START.replace(minute=0, second=0)
UNTIL = SINCE + timedelta(hours=2)
RANGE = f"since={SINCE:%Y-%m-%dT%H:%MZ}&until={UNTIL:%Y-%m-%dT%H:%MZ}"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.start() as running:
        running.site.create_webhook("order_state_changed", f"{OURS}/order_state_changed", keys=[b"test-key"])
        running.site.create_webhook("stock", "https://others.example/stock", keys=[b"test-key-of-others"])
        yield running


@pytest.fixture
def environ(simulator: Simulator) -> dict[str, str]:
    return {**simulator.environ, "ONESTOCK_WEBHOOK_URL": OURS}


def failed(number: int, *, minutes_ago: float) -> Entry:
    fields: dict[str, Any] = {"outcome": "not_published", "status": 503, "reason": "Pub/Sub did not confirm <b>"}
    seconds = (datetime.now(UTC) - START).total_seconds() - minutes_ago * 60
    return webhook(number, seconds=seconds, **fields)


def test_the_page_shows_status_and_owner_of_each_webhook(environ: dict[str, str], simulator: Simulator) -> None:
    simulator.site.webhooks["WH-1"].set_status(Status.DISABLED)

    page = opened(console_on(environ=environ)).get("/webhooks").text

    assert '<strong class="status bad">disabled</strong>' in page
    assert "OneStock drops its events. Enable it: relay webhooks enable WH-1" in page
    assert page.count("not ours") == 2
    assert "Enable WH-1" in page
    assert "WH-2</button>" not in page
    assert "relay webhooks list --json" in page


def test_a_disabled_webhook_is_enabled_by_its_form_and_the_action_is_logged(
    environ: dict[str, str], simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    simulator.site.webhooks["WH-1"].set_status(Status.DISABLED)
    browser = opened(console_on(environ=environ))

    answer = browser.post("/webhooks/status", {"id": "WH-1", "action": "enable", "reason": "mended"})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/webhooks?changed=WH-1")
    assert simulator.site.webhooks["WH-1"].status == Status.ENABLED
    page = browser.get("/webhooks?changed=WH-1").text
    assert '<strong class="status good">enabled</strong>' in page
    assert '<p class="note" role="status">Webhook WH-1 is enabled: OneStock sends its events.</p>' in page
    assert lines_in(caplog) == [("console_action", "enable webhook", "mended"),
                                ("console_action_ended", "enable webhook", "mended")]  # fmt: skip


def lines_in(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, ...]]:
    lines = [getattr(record, "json_fields", {}) for record in caplog.records]
    return [(one["line"], one["action"], one["reason"]) for one in lines if "action" in one]


def test_a_read_only_console_shows_no_form_and_refuses_the_action(
    environ: dict[str, str], simulator: Simulator
) -> None:
    browser = opened(console_on(environ=environ, allows_actions=False))

    page = browser.get("/webhooks").text
    answer = browser.post("/webhooks/status", {"id": "WH-1", "action": "pause"})

    assert "read only" in page
    assert "<button" in page
    assert 'name="action"' not in page
    assert answer.status_code == 403
    assert simulator.site.webhooks["WH-1"].status == Status.ENABLED


def test_a_failing_webhook_says_how_long_until_onestock_disables_it(environ: dict[str, str]) -> None:
    lines = (failed(1, minutes_ago=9.5), failed(1, minutes_ago=9))

    page = opened(console_on(*lines, environ=environ, is_local=False)).get("/webhooks").text
    of_local_run = opened(console_on(*lines, environ=environ)).get("/webhooks").text

    assert "20 minutes until OneStock disables it" in page
    assert "2 not acknowledged since" in page
    assert "Pub/Sub did not confirm &lt;b&gt;" in page
    assert "OneStock may have disabled it by now" in of_local_run


def test_a_paused_webhook_that_fails_has_no_countdown_since_a_person_may_have_paused_it(
    environ: dict[str, str], simulator: Simulator
) -> None:
    browser = opened(console_on(failed(1, minutes_ago=0.1), environ=environ))

    browser.post("/webhooks/status", {"id": "WH-1", "action": "pause"})
    page = browser.get("/webhooks?changed=WH-1").text

    assert simulator.site.webhooks["WH-1"].status == Status.PAUSED
    assert '<p class="note" role="status">Webhook WH-1 is paused: OneStock stores its events.</p>' in page
    assert "until OneStock disables it" not in page
    assert "If OneStock paused it because it repeats a message, it disables it at" in page


def test_without_onestocks_settings_one_line_says_what_to_set_and_the_balance_is_there() -> None:
    page = opened(console_on(webhook(1), delivery(1))).get(f"/webhooks?{RANGE}").text

    assert "ONESTOCK_API_URL" in page
    assert "It adds up" in page


def test_while_onestock_is_down_the_balance_is_there(environ: dict[str, str]) -> None:
    environ["ONESTOCK_API_URL"] = "http://127.0.0.1:9"

    page = opened(console_on(webhook(1), environ=environ)).get(f"/webhooks?{RANGE}")

    assert page.status_code == 200
    assert "1 event was published and has no delivery" in page.text


class CutLines(GivenLines):
    """A source with more lines than one search reads."""

    def search(self, wanted: EventFilter) -> list[Entry]:
        found = [entry for entry in self._entries if wanted.since is None or entry.time >= wanted.since]
        return found * (MAX_SEARCHED_LINES // len(found))


def test_a_balance_of_a_search_that_was_cut_does_not_say_that_it_adds_up() -> None:
    reading = Reading(CutLines([webhook(1), delivery(1)]), EventIndex())

    page = opened(Console(reading=reading, environ={}, allows_actions=True, is_local=True)).get(f"/webhooks?{RANGE}")

    assert "There were more lines than one search reads" in page.text
    assert "It adds up" not in page.text


def test_a_balance_of_lines_that_cannot_be_read_now_does_not_say_that_it_adds_up() -> None:
    console = console_on(webhook(1), delivery(1))
    console.reading.problem = "Permission denied <b>"

    page = opened(console).get(f"/webhooks?{RANGE}").text

    assert "The lines cannot be read now, so some may be missing: Permission denied &lt;b&gt;." in page
    assert "It adds up" not in page


def test_each_number_leads_to_the_events_that_make_it_up() -> None:
    browser = opened(console_on(webhook(1), webhook(2), delivery(2), refused(3)))

    page = browser.get(f"/webhooks?{RANGE}").text
    waiting = browser.get(f"/webhooks/events?of=gaps&of=waiting&{RANGE}").text
    handled = browser.get(f"/webhooks/events?of=deliveries&of=handled&{RANGE}").text
    absent = browser.get(f"/webhooks/events?of=deliveries&of=stale&{RANGE}").text

    assert "of=gaps&amp;of=waiting" in page
    assert (id_of(1)[:12] in waiting, f'data-key="{id_of(2)}"' in waiting) == (True, False)
    assert f'data-key="{id_of(2)}"' in handled
    assert "No event fits there" in absent
    assert browser.get(f"/webhooks/events?of=nothing&{RANGE}").status_code == 404


def test_the_chart_tells_the_same_in_a_table_and_carries_no_style() -> None:
    page = opened(console_on(webhook(1), refused(3))).get(f"/webhooks?{RANGE}").text

    assert '<svg viewBox="0 0 720 120" role="img" aria-labelledby="chart-title chart-desc">' in page
    assert f"{START:%H:%M}: 1 published</title>" in page
    assert "The numbers of the chart" in page
    assert "style=" not in page
    assert "<script>" not in page


def test_the_times_below_the_chart_are_text_of_the_page_and_have_dates_where_the_range_is_no_single_day() -> None:
    browser = opened(console_on())

    short = browser.get("/webhooks?since=2026-01-31T09:30Z&until=2026-01-31T10:30Z").text
    long = browser.get("/webhooks?since=2026-01-30T09:30Z&until=2026-01-31T10:30Z").text

    assert '<p class="ticks"><span>09:30</span> <span>10:30</span></p>' in short
    assert '<p class="ticks"><span>2026-01-30 09:30</span> <span>2026-01-31 10:30</span></p>' in long
    assert "<text" not in short + long


@pytest.mark.parametrize("length", ["1h", "6h", "24h"])
def test_each_range_shows_its_command_line(length: str) -> None:
    page = opened(console_on()).get(f"/webhooks?range={length}").text

    assert f"relay balance --since {length} --json" in page


def test_a_range_that_nobody_understands_is_told() -> None:
    page = opened(console_on()).get("/webhooks?since=yesterday").text

    assert "The range is not understood" in page


def test_without_a_session_nothing_is_shown() -> None:
    assert client_of(console_on()).get("/webhooks", base_url="http://127.0.0.1:8070").status_code == 401


def test_a_range_of_the_past_keeps_its_moments_in_its_command_line() -> None:
    page = opened(console_on(webhook(1))).get(f"/webhooks?{RANGE}").text

    assert f"relay balance --since {SINCE.isoformat()} --until {UNTIL.isoformat()} --json" in page


# --- Production -------------------------------------------------------------------------------------------------------


@pytest.fixture
def production(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environ: dict[str, str]
) -> Iterator[tuple[Browser, CloudLogging]]:
    """Open a console on Cloud Logging that has read the last hour, beside a gcloud that answers at once."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text('#!/bin/sh\n[ "$*" = "config get account" ] && echo on-call@example.com\n')
    gcloud.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with CloudLogging().running() as cloud:
        for name, value in cloud.environ.items():
            monkeypatch.setenv(name, value)
        source = CloudLines(CloudLog.connected("test-relay"), since=datetime.now(UTC) - timedelta(hours=1))
        reading = Reading(source, EventIndex()).start()
        wait_until(lambda: reading.is_complete)
        environ = {**environ, "GOOGLE_CLOUD_PROJECT": "test-relay"}
        yield opened(Console(reading=reading, environ=environ, allows_actions=True, is_local=False)), cloud
        reading.stop()


def test_in_production_a_webhook_is_paused_only_with_a_reason_that_others_see(
    production: tuple[Browser, CloudLogging], simulator: Simulator
) -> None:
    browser, cloud = production

    refused = browser.post("/webhooks/status", {"id": "WH-1", "action": "pause"})
    status = simulator.site.webhooks["WH-1"].status
    done = browser.post("/webhooks/status", {"id": "WH-1", "action": "pause", "reason": "the shop is repaired"})

    assert (refused.status_code, status) == (400, Status.ENABLED)
    assert (done.status_code, simulator.site.webhooks["WH-1"].status) == (303, Status.PAUSED)
    (entry,) = [entry for entry in cloud.entries if entry["jsonPayload"].get("line") == "console_action"]
    told = entry["jsonPayload"]
    assert (told["action"], told["ids"], told["account"]) == ("pause webhook", ["WH-1"], "on-call@example.com")


def test_a_range_before_the_window_is_searched_in_cloud_logging(production: tuple[Browser, CloudLogging]) -> None:
    browser, cloud = production
    take(cloud, datetime.now(UTC) - timedelta(hours=3), line="webhook", outcome="published", status=202)

    page = browser.get("/webhooks?range=6h").text

    assert "Cloud Logging of the project test-relay since" in page
    assert "1 event was published and has no delivery" in page


def test_an_event_that_was_on_its_way_when_a_past_range_began_has_a_webhook(
    production: tuple[Browser, CloudLogging],
) -> None:
    browser, cloud = production
    since = (datetime.now(UTC) - timedelta(hours=3)).replace(microsecond=0)
    take(cloud, since - timedelta(seconds=10), line="webhook", outcome="published", status=202)
    take(cloud, since + timedelta(seconds=10), line="delivery", outcome="handled", status=204)

    page = browser.get(f"/webhooks?since={since:%Y-%m-%dT%H:%M:%SZ}").text

    assert "It adds up" in page
    assert "published outside the range" in page


def take(cloud: CloudLogging, moment: datetime, **fields: Any) -> None:
    """Add a line of a service about one event."""
    labels = {"event_id": id_of(7), "event_type": "order_state_changed"}
    line = {"time": moment.isoformat(), "message": "Line", "logging.googleapis.com/labels": labels, **fields}
    cloud.take(json.dumps(line), service="receiver", project="test-relay")
