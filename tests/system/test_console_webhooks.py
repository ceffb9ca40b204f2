"""The console shows and mends what keeps events from coming: a disabled webhook, and pushes that are paused."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from relay.local.environment import CONTROL_URL
from relay.local.simulator import Schedule, Simulator, Status
from tests.support.parts import HASH_KEY, OneStock, PubSub, Service, Tool, order_event
from tests.support.running_console import RunningConsole, running_console
from tests.support.waiting import wait_until

SOON_DISABLED = Schedule(retry_intervals_seconds=[0.2] * 6)
ATTEMPTS = 7
EVENT = {"order_id": "W-1", "date": 1_735_689_600, "old_state": "placed", "new_state": "picking"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.start(schedule=SOON_DISABLED) as running:
        yield running


@pytest.fixture
def console(
    settings: dict[str, str],
    simulator: Simulator,
    pubsub: PubSub,
    onestock: OneStock,
    worker: Service,
    tmp_path: Path,
) -> Iterator[RunningConsole]:
    """Run the console beside the services as the local run does."""
    ours = onestock.url("").rstrip("/")
    settings |= {**simulator.environ, "ONESTOCK_WEBHOOK_URL": ours, CONTROL_URL: "http://127.0.0.1:9"}
    settings |= {"PUBSUB_SUBSCRIPTION": pubsub.topology.subscription}
    files = [onestock.receiver.child.output, worker.child.output]
    output = tmp_path / "console.log"
    with running_console(files, output=output, options=["--allow-actions"], variables=settings) as running:
        yield running


def number_in(page: str, name: str) -> int:
    """Return a number of the balance: the first with this name."""
    found = re.search(rf'<th scope="row">{name}</th>\s*<td class="number">(?:<a [^>]*>)?([\d,]+)', page)
    assert found, name
    return int(found[1].replace(",", ""))


def page_with(text: str, browser: requests.Session, console: RunningConsole) -> str:
    """Return the Webhooks screen once it holds the text: the console reads a line a moment after it is written."""
    page = browser.get(f"{console.base}webhooks", timeout=60).text
    return page if text in page else ""


def test_a_disabled_webhook_is_red_is_enabled_by_a_click_and_the_balance_adds_up(
    console: RunningConsole, simulator: Simulator, onestock: OneStock, worker: Service, settings: dict[str, str]
) -> None:
    simulator.site.create_webhook("order_state_changed", onestock.url("order_state_changed"), keys=[b"another-key"])
    (webhook,) = simulator.site.webhooks.values()
    browser = console.session()
    simulator.site.emit("order_state_changed", EVENT)
    wait_until(lambda: webhook.status is Status.DISABLED, within=60)
    webhook.keys = (HASH_KEY,)

    red = wait_until(lambda: page_with(f"{ATTEMPTS} not acknowledged since", browser, console))
    mended = console.post(browser, "/webhooks/status", {"id": webhook.id, "action": "enable", "reason": "mended"})
    simulator.site.emit("order_state_changed", {**EVENT, "new_state": "fulfilled"})
    wait_until(worker.handled, within=30)

    assert '<strong class="status bad">disabled</strong>' in red
    assert "no configured hash key matches" in red
    assert '<strong class="status good">enabled</strong>' in mended.text
    page = wait_until(lambda: page_that_counts_a_handled_event(browser, console), within=30)
    assert "It adds up" in page
    told = Tool(settings).json("balance", *(f"--lines={one.child.output}" for one in (onestock.receiver, worker)))
    for name in ("received", "published", "refused", "wrong signature", "delivered", "handled"):
        assert number_in(page, name) == count_in(told, name), name
    assert (count_in(told, "received"), count_in(told, "handled")) == (ATTEMPTS + 1, 1)


def page_that_counts_a_handled_event(browser: requests.Session, console: RunningConsole) -> str:
    """Return the Webhooks screen once it has read the line of the event that was sent last."""
    page = browser.get(f"{console.base}webhooks", timeout=60).text
    return page if number_in(page, "handled") else ""


def wait_for_page(browser: requests.Session, url: str, text: str) -> str:
    """Return the page once it holds `text`: the console reads its lines a moment after they are written."""
    wait_until(lambda: text in browser.get(url, timeout=60).text, within=30)
    return browser.get(url, timeout=60).text


def count_in(told: dict[str, Any], name: str) -> int:
    """Return a number that `relay balance` printed."""
    left = [told["webhooks"], told["deliveries"]]
    while left:
        count = left.pop(0)
        if count["name"] == name:
            return int(count["count"])
        left += count["parts"]
    raise AssertionError(name)


def test_a_pause_is_told_on_every_page_and_resumed_by_a_click(
    console: RunningConsole, onestock: OneStock, worker: Service, pubsub: PubSub
) -> None:
    browser = console.session()

    paused = console.post(browser, "/health/pause", {"reason": "the shop is repaired"}).text
    onestock.send(order_event("W-1"))
    told = browser.get(console.base, timeout=60).text
    pushes_to = push_endpoint(pubsub)
    waiting = wait_for_page(browser, f"{console.base}webhooks", "1 event was published and has no delivery")
    resumed = console.post(browser, "/health/resume", {}).text

    wait_until(worker.handled, within=60)
    assert "Resume the pushes" in paused
    assert "paused since" in told
    assert "the shop is repaired" in told
    assert pushes_to == ""
    assert "paused since" in waiting
    assert "Pause the pushes" in resumed
    assert "paused since" not in resumed
    assert push_endpoint(pubsub) == pubsub.topology.push_endpoint
    actions = [(line["action"], line["reason"], line["ids"]) for line in console.lines("console_action")]
    path = pubsub.topology.subscription_path
    assert actions == [("pause", "the shop is repaired", [path]), ("resume", "", [path])]


def push_endpoint(pubsub: PubSub) -> str:
    found = requests.get(f"http://{pubsub.emulator.host}/v1/{pubsub.topology.subscription_path}", timeout=10).json()
    return str(found.get("pushConfig", {}).get("pushEndpoint", ""))


def test_the_doctor_examines_while_the_page_is_there(console: RunningConsole) -> None:
    browser = console.session()
    url = f"{console.base}health"

    page = wait_for_page(browser, url, "Examined at")

    assert "pushes to" in page
    assert 'class="good">Good</h3>' in page
