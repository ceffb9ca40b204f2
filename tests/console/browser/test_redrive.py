"""From an order to its mended handler, in a browser: what the page counts is what the topic and the store hold."""

import base64
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from google.cloud.firestore import Client
from playwright.sync_api import Page, expect

from relay.local.emulator import Emulator
from relay.local.environment import LOCAL_ENV, read
from relay.stores.firestore import COLLECTION
from tests.support.browser import Visitor
from tests.support.checkout import Checkout, checkout_in
from tests.support.screens import by_the_navigation
from tests.support.waiting import wait_until

HANDLERS = """
from pathlib import Path

from relay import ParcelStateChanged, Reject, on


def note(handler: str, event: ParcelStateChanged) -> None:
    with Path("effects.log").open("a") as effects:
        effects.write(f"{handler} {event.event_id}\\n")


@on("parcel_state_changed")
def tell_customer(event: ParcelStateChanged) -> None:
    note("tell_customer", event)


@on("parcel_state_changed")
def bill(event: ParcelStateChanged) -> None:
    BODY
"""
BROKEN = HANDLERS.replace("BODY", """raise Reject(f"parcel {event.order_id.partition('-')[0]} has no weight")""")
MENDED = HANDLERS.replace("BODY", 'note("bill", event)')
LONG = 60_000  # Milliseconds; a job first pulls for about five seconds.


@dataclass
class Shop:
    """A local run whose store is Firestore's emulator, and all that its topic got."""

    checkout: Checkout
    store: Client
    settings: dict[str, str]
    published: list[dict[str, Any]] = field(default_factory=list)

    def save(self, text: str) -> None:
        """Save the handlers, and wait until the worker runs them."""
        count = self.checkout.shown.count("reloaded ")
        self.checkout.save(text)
        wait_until(lambda: self.checkout.shown.count("reloaded ") > count, within=60)

    def ship(self, name: str, count: int) -> list[str]:
        """Let so many parcels of a name be lost, which the broken handler rejects; return the order ids."""
        orders = [f"{name}-{number}" for number in range(count)]
        for order_id in orders:
            changed = {"parcel_id": f"{order_id}-P1", "order_id": order_id, "date": int(time.time())}
            self.checkout.send("parcel_state_changed", changed | {"old_state": "dispatched", "new_state": "lost"})
        return orders

    def redriven(self, name: str) -> Counter[str]:
        """Return how often the topic got each order's event again."""
        url = f"http://{self.settings['PUBSUB_EMULATOR_HOST']}/v1/{self.watch}"
        pull = {"maxMessages": 1000, "returnImmediately": True}
        while received := requests.post(f"{url}:pull", json=pull, timeout=20).json().get("receivedMessages"):
            ids = {"ackIds": [one["ackId"] for one in received]}
            requests.post(f"{url}:acknowledge", json=ids, timeout=20).raise_for_status()
            self.published += [one["message"] for one in received]
        again = [one for one in self.published if int(one["attributes"].get("generation", 0)) > 0]
        orders = [json.loads(base64.b64decode(one["data"]))["order_id"] for one in again]
        return Counter(order_id for order_id in orders if order_id.startswith(f"{name}-"))

    def effects(self, handler: str) -> Counter[str]:
        """Return how often the handler caused its effect, by event id."""
        lines = (self.checkout.folder / "effects.log").read_text().split("\n")
        return Counter(line.split()[1] for line in lines if line.startswith(f"{handler} "))

    def stored(self, event_ids: set[str]) -> Counter[str]:
        """Return how the store says that `bill` ended, for these events."""
        documents = [one.to_dict() or {} for one in self.store.collection(COLLECTION).stream()]
        runs = [run for one in documents if "bill" in one["key"] for run in one["ended_runs"]]
        return Counter(str(run["completion"]) for run in runs if run["event_id"] in event_ids)

    def dead_letters(self, name: str) -> list[dict[str, Any]]:
        """Return what waits in the dead letters, of parcels of a name."""
        return [one for one in self.checkout.dead_letters() if f"parcel {name} " in one["reason"]]

    @property
    def watch(self) -> str:
        """The subscription that gets what the topic gets."""
        return f"projects/{self.settings['GOOGLE_CLOUD_PROJECT']}/subscriptions/watch"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, firestore_emulator: Emulator) -> Iterator[Shop]:
    with checkout_in(tmp_path_factory.mktemp("shop")) as checkout:
        checkout.environ["FIRESTORE_EMULATOR_HOST"] = firestore_emulator.host
        checkout.environ["IDEMPOTENCY_STORE"] = "firestore"
        checkout.save(MENDED)
        checkout.start("--rate", "0")
        checkout.wait_for("/open?token=", within=90)
        checkout.wait_for("loaded ")
        settings = read(checkout.folder / LOCAL_ENV)
        made = Shop(checkout, Client(project=settings["GOOGLE_CLOUD_PROJECT"]), settings)
        topic = f"projects/{settings['GOOGLE_CLOUD_PROJECT']}/topics/{settings['PUBSUB_TOPIC']}"
        url = f"http://{settings['PUBSUB_EMULATOR_HOST']}/v1/{made.watch}"
        requests.put(url, json={"topic": topic}, timeout=20).raise_for_status()
        yield made
        made.store.close()


def opened(shop: Shop, visitor: Visitor) -> Page:
    page = visitor.page()
    page.goto(shop.checkout.console_url)
    page.wait_for_selector("h1")
    return page


def plan_all(page: Page, name: str, count: int) -> None:
    """Plan the redrive of the group with these parcels once it has all of them."""
    by_the_navigation("Dead letters")(page)
    group = page.get_by_role("checkbox", name=re.compile(f"all {count} of .*{name} has no weight"))
    for _ in range(60):
        if group.count():
            break
        page.wait_for_timeout(500)
        page.reload()
    group.check()
    page.get_by_role("button", name="Plan a redrive").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Plan: redrive {count} dead letters")


def ends_on(page: Page) -> Counter[str]:
    """Return how many letters have each end, as the page counts them."""
    rows = page.locator("table.counts tbody tr")
    cells = rows.evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))")
    return sum((Counter({end: int(count)}) for count, end, _ in cells), Counter())


def test_an_order_is_found_its_handler_mended_one_letter_redriven_and_then_the_rest(
    shop: Shop, visitor: Visitor
) -> None:
    shop.save(BROKEN)
    order_id = shop.ship("heavy", 6)[2]
    page = opened(shop, visitor)
    row = page.locator("tr[data-key]").filter(has_text=order_id)
    expect(row).to_contain_text("dead letter")

    page.get_by_label("Order id, event id or trace id").fill(order_id)
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("orders.bill: parcel heavy has no weight")
    page.locator("[data-open]").first.click()
    expect(page.locator(".timeline")).to_contain_text("delivered, attempt 1: quarantined")
    handler = page.locator("table.handlers tr", has_text="orders.bill")
    expect(handler).to_contain_text("parcel heavy has no weight")
    plan_all(page, "heavy", 6)
    expect(page.locator("main")).to_contain_text("done: code_of_the_shop.orders.tell_customer")
    shop.save(MENDED)
    page.get_by_role("button", name="Redrive 6").click()

    expect(page.locator("#canary")).to_contain_text("handled", timeout=LONG)
    assert shop.redriven("heavy").total() == 1
    page.get_by_role("button", name="Redrive the other 5").click()
    expect(page.locator("#progress")).to_contain_text("has ended: 6 redriven", timeout=LONG)
    assert ends_on(page) == {"redriven": 6}
    wait_until(lambda: len(shop.effects("bill")) == 6, within=60)
    assert set(shop.redriven("heavy").values()) == {1}
    assert shop.redriven("heavy").total() == 6
    assert shop.stored(set(shop.effects("bill"))) == {"handled": 6}
    assert set(shop.effects("tell_customer").values()) == {1}
    assert shop.dead_letters("heavy") == []


def test_a_redrive_that_is_stopped_half_way_names_what_was_done_and_what_was_not(shop: Shop, visitor: Visitor) -> None:
    shop.save(BROKEN)
    shop.ship("slow", 12)
    page = opened(shop, visitor)
    plan_all(page, "slow", 12)
    shop.save(MENDED)
    page.get_by_label("Events a second").fill("1")
    page.get_by_label("send the first one").uncheck()
    page.get_by_role("button", name="Redrive 12").click()
    done = page.locator("table.letters tr").filter(has_text="redriven")
    expect(done.nth(1)).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Stop").click()

    expect(page.locator("#progress")).to_contain_text("was stopped: ", timeout=LONG)
    ends = ends_on(page)
    told = f"was stopped: {ends['redriven']} redriven, {ends['stopped']} not sent"
    expect(page.locator("#progress")).to_contain_text(told)
    expect(page.locator("progress")).to_have_attribute("value", str(ends["redriven"]))
    assert ends.keys() == {"redriven", "stopped"}
    assert ends.total() == 12
    on_the_topic = shop.redriven("slow")
    assert on_the_topic.total() == ends["redriven"]
    named = done.locator("td[data-label=Order]").all_inner_texts()
    assert sorted(named) == sorted(on_the_topic)
    wait_until(lambda: len(shop.dead_letters("slow")) == ends["stopped"], within=60)
    page.get_by_role("button", name=f"Plan the other {ends['stopped']}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Plan: redrive {ends['stopped']} dead letters")


def test_two_browsers_that_redrive_the_same_letters_redrive_each_event_once(shop: Shop, visitor: Visitor) -> None:
    shop.save(BROKEN)
    shop.ship("twice", 8)
    pages = [opened(shop, visitor) for _ in range(2)]
    for page in pages:
        plan_all(page, "twice", 8)
        page.get_by_label("send the first one").uncheck()
    shop.save(MENDED)
    for page in pages:
        page.get_by_role("button", name="Redrive 8").click()

    for page in pages:
        expect(page.locator("#progress")).to_contain_text("has ended: ", timeout=LONG)
    ends = sum(map(ends_on, pages), Counter[str]())
    assert ends == {"redriven": 8, "not there": 8}
    assert set(shop.redriven("twice").values()) == {1}
    assert shop.redriven("twice").total() == 8
