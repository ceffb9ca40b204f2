"""The console explains an order and its events: on a developer's local run, and where a change never arrived."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.local.environment import CONTROL_URL
from relay.local.simulator import Simulator
from tests.support.checkout import Checkout
from tests.support.console_reader import ConsoleReader
from tests.support.invented_lines import InventedEvent
from tests.support.parts import Service
from tests.support.running_console import RunningConsole, running_console
from tests.support.waiting import wait_until

FAILING = """
from relay import OrderStateChanged, on

@on("order_state_changed")
def bill(event: OrderStateChanged) -> None:
    raise ValueError("invented: no price")
"""
HOSTILE = {"order_id": "<script>alert(1)</script>", "date": 1_735_689_600, "new_state": "</pre><b>", "half": "\ud800"}


@pytest.fixture
def console(checkout: Checkout) -> Iterator[ConsoleReader]:
    """Return the reader of a local run whose handler always fails."""
    checkout.save(FAILING)
    run = checkout.start("--rate", "0", "--attempts", "100")
    checkout.wait_for("http://127.0.0.1", within=60)
    wait_until(lambda: re.search(r"/open\?token=\S+", checkout.shown) is not None, within=60)
    reader = ConsoleReader(RunningConsole(run, checkout.console_url))
    yield reader
    reader.session.close()


def event_on(page: str) -> str:
    found = re.findall(r'href="(/event/[0-9a-f]{64})"', page)
    assert found, page
    return str(found[-1])


def test_an_order_with_a_failing_handler_is_explained_and_its_event_runs_again_once_the_handler_is_mended(
    console: ConsoleReader, checkout: Checkout
) -> None:
    checkout.run("trigger", "duplicate")
    wait_until(lambda: "ValueError: invented: no price" in console.get("/order/ORD-5001"), within=60, every=0.5)
    order = console.get("/order/ORD-5001")
    event = event_on(order)
    wait_until(lambda: "attempt 2" in console.get(event), within=60, every=0.5)
    failing = console.get(event)
    checkout.save(FAILING.replace('raise ValueError("invented: no price")', "print('billed', event.order_id)"))
    wait_until(lambda: 'Now: <span class="where where-handled">' in console.get(event), within=60, every=0.5)

    rerun = console.post(f"{event}/rerun")
    again = console.post(f"{event}/send")
    edited = console.post(f"{event}/edit", {"body": json.dumps({"order_id": "ORD-5001", "new_state": "edited"})})

    assert "placed → picking" in order
    assert "At OneStock now" in order
    for text in ("code_of_the_shop.orders.bill", "ValueError: invented: no price", "Traceback", "relay trace "):
        assert text in failing
    assert (rerun.status_code, again.status_code, edited.status_code) == (303, 303, 303)
    assert "<strong>run again</strong>" in console.get(rerun.headers["Location"])
    assert console.get(again.headers["Location"]).count("<strong>received</strong>") == 3
    assert '"new_state": "edited"' in console.get(edited.headers["Location"])


def test_a_hostile_body_is_shown_as_text_by_the_run_that_took_it(console: ConsoleReader, checkout: Checkout) -> None:
    checkout.send("order_state_changed", HOSTILE)
    checkout.send("order_state_changed", {"order_id": "BIG", "items": ["x" * 100] * 80_000})
    wait_until(lambda: len(set(re.findall(r'href="(/event/[0-9a-f]{64})"', console.get("/")))) == 2, within=60)

    pages = [
        console.session.get(f"{console.url}{event}", timeout=60)
        for event in set(re.findall(r'href="(/event/[0-9a-f]{64})"', console.get("/")))
    ]

    assert [page.status_code for page in pages] == [200, 200]
    assert max(len(page.content) for page in pages) < 500_000
    assert all("<script>alert" not in page.text and "</pre><b>" not in page.text for page in pages)
    assert any("&lt;script&gt;alert(1)" in page.text and "\\ud800" in page.text for page in pages)
    assert any("The log holds only the beginning of the body" in page.text for page in pages)


# --- A change that never arrived --------------------------------------------------------------------------------------


@pytest.fixture
def shop() -> Iterator[Simulator]:
    """Return a OneStock whose order changed two hours ago, and which has no webhook."""
    with Simulator.start() as running:
        running.site.place_order("ORD-1", items={"SKU-1": 1})
        running.site.move_order("ORD-1", "picking")
        running.site.history[0]["date"] -= 7_200
        yield running


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Return a file of lines that begin before the change."""
    file = tmp_path / "earlier.log"
    earlier = InventedEvent(number=1, received_at=datetime.now(UTC) - timedelta(hours=4))
    file.write_text("".join(f"{json.dumps(line)}\n" for line in earlier.lines()))
    return file


def test_a_change_that_never_arrived_is_red_and_is_published_by_a_click(
    settings: dict[str, str], shop: Simulator, lines: Path, worker: Service, tmp_path: Path
) -> None:
    variables = {**settings, **shop.environ, CONTROL_URL: "http://127.0.0.1:9"}
    files = [lines, worker.child.output]
    options = ["--allow-actions"]
    with running_console(files, output=tmp_path / "console.log", options=options, variables=variables) as running:
        reader = ConsoleReader(running)
        wait_until(lambda: 'class="gap"' in reader.get("/order/ORD-1"), within=30, every=0.5)
        named = {"new_state": "picking", "date": str(shop.site.history[0]["date"])}
        published = reader.post("/order/ORD-1", named)
        wait_until(lambda: bool(worker.handled()), within=60)
        wait_until(lambda: 'class="good">handled' in reader.get("/order/ORD-1"), within=30, every=0.5)
        page, twice = reader.get("/order/ORD-1"), reader.post("/order/ORD-1", named)
        reader.session.close()

    assert (published.status_code, twice.status_code) == (303, 409)
    assert 'class="gap"' not in page
    assert "synthetic" in page
    assert [line["ids"] for line in running.lines("console_action")] == [list(worker.handled())]
