"""The console redrives and discards what its plan has shown: the counts on the page are the store's and the topic's."""

import re
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from relay.local.environment import CONTROL_URL
from tests.support.console_reader import ConsoleReader
from tests.support.parts import OneStock, Service, Tool, order_event
from tests.support.running_console import running_console
from tests.support.shop.ledger import Ledger
from tests.support.waiting import wait_until

HANDLERS = ("refund", "archive")


@pytest.fixture
def rejecting(shop_settings: dict[str, str], worker: Service) -> Service:
    """Return a worker whose handlers reject orders marked so, until the shop is repaired."""
    assert shop_settings["HANDLERS_PACKAGE"] == "tests.support.shop"
    return worker


@pytest.fixture
def environ(settings: dict[str, str]) -> dict[str, str]:
    """Return what makes a console take the run for a local one."""
    return {**settings, CONTROL_URL: "http://127.0.0.1:9"}


@contextmanager
def reading(output: Path, environ: dict[str, str], lines: list[Path]) -> Iterator[ConsoleReader]:
    with running_console(lines, output=output, options=["--allow-actions"], variables=environ) as running:
        reader = ConsoleReader(running)
        yield reader
        reader.session.close()


@pytest.fixture
def console(environ: dict[str, str], receiver: Service, rejecting: Service, tmp_path: Path) -> Iterator[ConsoleReader]:
    lines = [receiver.child.output, rejecting.child.output]
    with reading(tmp_path / "console.log", environ, lines) as reader:
        yield reader


def send_rejected(onestock: OneStock, worker: Service, count: int) -> None:
    for number in range(count):
        onestock.send(order_event(f"D-{number}", reject=True))
    wait_until(lambda: len(ended_as(worker, "quarantined")) >= count, within=60)


def ended_as(worker: Service, outcome: str) -> list[str]:
    return [line["event_id"] for line in worker.canonical("delivery") if line["outcome"] == outcome]


def on_the_subscription(tool: Tool) -> Counter[str]:
    return Counter(letter["handler"] for letter in tool.json("dead-letters", "list"))


def shown(console: ConsoleReader, handler: str, count: int) -> str:
    """Wait until the page shows so many of the handler; return the group's key."""
    wait_until(lambda: console.groups().get(handler, ("", 0))[1] == count, within=30, every=0.2)
    return console.groups()[handler][0]


def test_one_is_sent_first_then_the_rest_and_the_page_counts_what_the_topic_and_the_store_count(
    console: ConsoleReader, onestock: OneStock, rejecting: Service, tool: Tool, ledger: Ledger
) -> None:
    send_rejected(onestock, rejecting, 6)
    group, shown_counts = shown(console, "refund", 6), {name: count for name, (_, count) in console.groups().items()}
    counted = on_the_subscription(tool)
    ledger.repaired.touch()

    job = console.start(console.plan("redrive", groups=[group]), canary="yes", rate="0")
    wait_until(lambda: re.search(r'id="canary">\s*<span[^>]*>handled<', console.get(job)), within=60, every=0.2)
    wait_until(lambda: 'id="go-on"' in console.get(job), within=60, every=0.2)
    effects_of_the_first = ledger.count("done")
    console.post(f"{job}/go-on")
    ends = console.wait_for_the_end(job)

    assert shown_counts == counted == {"refund": 6, "archive": 6}
    assert (effects_of_the_first, ends) == (1, {"redriven": 6})
    wait_until(lambda: ledger.count("done") == 6, within=60)
    assert {step.handler for step in ledger.steps("done")} == {"refund"}
    assert on_the_subscription(tool) == {"archive": 6}
    shown(console, "archive", 6)
    assert "refund" not in console.groups()


def test_a_redrive_stopped_half_way_names_what_was_done_and_what_not(
    console: ConsoleReader, onestock: OneStock, rejecting: Service, tool: Tool, ledger: Ledger
) -> None:
    send_rejected(onestock, rejecting, 30)
    group = shown(console, "refund", 30)
    ledger.repaired.touch()

    job = console.start(console.plan("redrive", groups=[group]), rate="3")
    wait_until(lambda: console.ends(job).get("redriven", 0) >= 3, within=60, every=0.1)
    console.post(f"{job}/stop")
    ends = console.wait_for_the_end(job)

    assert ends["redriven"] + ends["stopped"] == 30
    assert on_the_subscription(tool) == {"archive": 30, "refund": ends["stopped"]}
    lines = {line["ending"]: len(line["ids"]) for line in console.console.lines("console_action_ended")}
    assert lines == ends
    assert [line["action"] for line in console.console.lines("console_action")] == ["redrive", "stop redrive"]


def test_ctrl_c_ends_a_redrive_and_the_log_says_what_was_done(
    console: ConsoleReader, onestock: OneStock, rejecting: Service, tool: Tool, ledger: Ledger
) -> None:
    send_rejected(onestock, rejecting, 30)
    group = shown(console, "refund", 30)
    ledger.repaired.touch()
    live = console.session.get(f"{console.url}/live", stream=True, timeout=60)

    job = console.start(console.plan("redrive", groups=[group]), rate="3")
    wait_until(lambda: console.ends(job).get("redriven", 0) >= 3, within=60, every=0.1)
    console.console.child.signal(signal.SIGINT)
    status = console.console.child.wait(40)

    live.close()
    lines = {line["ending"]: len(line["ids"]) for line in console.console.lines("console_action_ended")}
    assert (status, sum(lines.values())) == (0, 30)
    assert on_the_subscription(tool) == {"archive": 30, "refund": lines["stopped"]}


def test_two_consoles_redrive_the_same_letters_and_each_event_runs_once(
    environ: dict[str, str],
    receiver: Service,
    rejecting: Service,
    onestock: OneStock,
    tool: Tool,
    ledger: Ledger,
    tmp_path: Path,
) -> None:
    send_rejected(onestock, rejecting, 20)
    ledger.repaired.touch()
    lines = [receiver.child.output, rejecting.child.output]

    def redrive(console: ConsoleReader) -> dict[str, int]:
        job = console.start(console.plan("redrive", groups=[shown(console, "refund", 20)]), rate="0")
        return console.wait_for_the_end(job)

    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        consoles = [stack.enter_context(reading(tmp_path / f"{name}.log", environ, lines)) for name in "ab"]
        ends = list(pool.map(redrive, consoles))

    assert [sum(end.values()) for end in ends] == [20, 20]
    assert sum(end.get("redriven", 0) for end in ends) == 20
    wait_until(lambda: ledger.count("done") >= 20, within=60)
    done = Counter(step.event_id for step in ledger.steps("done"))
    assert (len(done), set(done.values())) == (20, {1})
    assert on_the_subscription(tool) == {"archive": 20}


def test_what_the_subscription_holds_is_counted_and_discarded_by_its_own_ids(
    console: ConsoleReader, onestock: OneStock, rejecting: Service, tool: Tool
) -> None:
    send_rejected(onestock, rejecting, 2)

    counted = console.post("/dead-letters/count")
    source = counted.headers["Location"]
    group, count = console.groups(source)["archive"]
    plan = console.plan("discard", groups=[group], source="subscription")
    refused = console.post(f"{plan}/start", {"count": "3"})
    ends = console.wait_for_the_end(console.start(plan, count="2"))

    assert (count, refused.status_code, ends) == (2, 400, {"discarded": 2})
    assert on_the_subscription(tool) == {"refund": 2}
