"""`make run` for a developer: nothing ends it, a saved handler is loaded, and nothing that happens is invisible."""

import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.pubsub_v1 import SubscriberClient

from relay.local.environment import LOCAL_ENV, LOGS, read
from relay.local.following import SILENT_SECONDS
from relay.local.processes import is_taken
from tests.support.checkout import PORTS, Checkout
from tests.support.waiting import wait_until

RAISING = """
from relay import OrderStateChanged, ParcelStateChanged, on

@on("parcel_state_changed")
def bill(event: ParcelStateChanged) -> None:
    raise ValueError("invented: always")

@on("order_state_changed")
def follow(event: OrderStateChanged) -> None:
    print("printed:", event.order_id)
"""
CHATTERING = """
import threading
import time

def chatter() -> None:
    while True:
        print("chatter")
        time.sleep(0.005)

threading.Thread(target=chatter, daemon=True).start()
"""
HANGING = """
import time

from relay import OrderStateChanged, on

@on("order_state_changed")
def wait(event: OrderStateChanged) -> None:
    print("hangs")
    time.sleep(600)
"""
ASKING = """
import logging
import os

from relay import OrderStateChanged, on
from relay.onestock import OneStock

@on("order_state_changed")
def ask(event: OrderStateChanged, onestock: OneStock) -> None:
    order = onestock.get_order(event.order_id)
    logging.getLogger("shop").info("%s is %s; %s %s", order.id, order.state, os.environ["FIRST"], os.environ["SECOND"])
"""


@pytest.mark.parametrize(("stop", "columns"), [(signal.SIGINT, 80), (signal.SIGTERM, 120)])
def test_the_run_shows_each_way_in_lines_that_fit_and_leaves_nothing_running(
    checkout: Checkout, stop: signal.Signals, columns: int
) -> None:
    checkout.environ |= {"COLUMNS": str(columns), "HANDLERS_PACKAGE": "tests.support.following"}
    run = checkout.start("--rate", "20")
    checkout.wait_for("dead letter ")
    checkout.wait_for("duplicate ")
    os.kill(run.pid, stop)

    assert run.wait(30) == 0
    steps = ("acknowledged ", "handled ", "duplicate ", "dead letter ", "refund ", "shipment ", "loaded ", "stopped ")
    assert [step for step in steps if f"  {step}" not in checkout.shown] == []
    assert max(len(line) for line in checkout.shown.splitlines()) <= columns
    assert "Traceback" not in checkout.shown
    assert [name for name in PORTS if is_taken(int(checkout.environ[name]))] == []
    assert not (checkout.folder / LOCAL_ENV).exists()
    assert (checkout.folder / LOGS / "worker.log").exists()


def test_a_handler_that_always_raises_stops_nothing_and_its_events_are_redriven_once_it_is_mended(
    checkout: Checkout,
) -> None:
    checkout.save(RAISING)
    checkout.start("--rate", "0", "--attempts", "2")
    checkout.wait_for("loaded ")
    checkout.run("trigger", "parcel-lost")
    wait_until(lambda: checkout.shown.count("used up 2 delivery attempts") == 2, within=40)
    letters = checkout.dead_letters()
    traced = [checkout.run("trace", letter["event_id"]).stdout for letter in letters]
    assert checkout.shown.count("Traceback") == 1
    checkout.run("trigger", "order-fulfilled")
    checkout.wait_for("print        printed: ORD-5002")

    checkout.save(RAISING.replace('raise ValueError("invented: always")', "print('mended')"))
    checkout.wait_for("reloaded ")
    redriven = checkout.run("dead-letters", "redrive", "--yes")

    assert [letter["reason"] for letter in letters] == ["Pub/Sub gave up after 2 delivery attempts"] * 2
    assert [text.splitlines()[-2] for text in traced] == ["  now: dead letter"] * 2, traced
    assert (redriven.returncode, "Against the local run" in redriven.stderr) == (0, True)
    checkout.wait_for("print        mended")
    assert "attempt 1 of 2: bill failed (ValueError: invented: always)" in checkout.shown


def test_what_was_handled_stays_handled_when_a_handler_is_saved(checkout: Checkout) -> None:
    beside = RAISING.replace("parcel_state_changed", "order_state_changed").replace("ParcelState", "OrderState")
    checkout.save(beside)
    checkout.start("--rate", "0", "--attempts", "2")
    checkout.wait_for("loaded ")
    checkout.run("send", "order_state_changed")
    checkout.wait_for("used up 2 delivery attempts")

    checkout.save(beside.replace('raise ValueError("invented: always")', "print('mended')"))
    checkout.wait_for("reloaded ")
    checkout.run("dead-letters", "redrive", "--yes")

    checkout.wait_for("bill ok, follow duplicate")
    assert checkout.shown.count("print        printed: ") == 1


def test_a_run_that_its_worker_did_not_end_goes_on_in_the_next_worker_at_once(checkout: Checkout) -> None:
    checkout.save(HANGING)
    checkout.start("--rate", "0")
    checkout.wait_for("loaded ")
    checkout.run("send", "order_state_changed")
    checkout.wait_for("print        hangs")

    checkout.save(HANGING.replace("time.sleep(600)", "print('mended')"))

    checkout.wait_for("print        mended")


def test_a_handler_that_cannot_be_loaded_is_told_with_file_and_line_and_the_one_before_goes_on(
    checkout: Checkout,
) -> None:
    checkout.save("import nowhere_to_be_found\n")
    run = checkout.start("--rate", "10")
    checkout.wait_for(
        "broken       code_of_the_shop/orders.py:1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    )
    checkout.wait_for("acknowledged ")

    checkout.save(RAISING + CHATTERING)
    checkout.wait_for("handled ")
    checkout.save("from relay import on\n\n\n@on\ndef follow(event): ...\n")
    checkout.wait_for("broken       code_of_the_shop/orders.py:4 follow: @on stands without parentheses")
    shown_before = len(checkout.shown)

    wait_until(lambda: "handled " in checkout.shown[shown_before:])
    assert run.exit_status is None
    assert "print        code_of_the_shop" not in checkout.shown
    assert "no handler runs until code_of_the_shop/orders.py:1 is mended" in checkout.shown


@pytest.mark.parametrize("name", ["HANDLER_BUDGET_SECONDS", "MAX_WAITING_PUBLISHES"])
def test_a_wrong_setting_of_either_service_ends_the_run_in_one_line_that_says_where_to_mend_it(
    checkout: Checkout, name: str
) -> None:
    (checkout.folder / ".env").write_text(f"{name}=ten\n")
    from_file = checkout.run("run", "--rate", "0")
    checkout.environ[name] = "eleven"
    from_shell = checkout.run("run", "--rate", "0")

    assert (from_file.returncode, from_shell.returncode) == (2, 2)
    assert f"{name}=ten is set in .env" in from_file.stderr
    assert f"{name}=eleven is set in the shell" in from_shell.stderr
    assert len(from_file.stderr.splitlines()) == 1


def test_what_is_triggered_exists_at_onestock_and_the_developers_variables_reach_the_handler(
    checkout: Checkout,
) -> None:
    checkout.save(ASKING)
    (checkout.folder / ".env").write_text("# invented\nFIRST='from .env'\n")
    checkout.environ["SECOND"] = "from the shell"
    checkout.start("--rate", "0")
    checkout.wait_for("loaded ")
    assert "acknowledged" not in checkout.shown

    triggered = checkout.run("trigger", "order-fulfilled")
    checkout.wait_for("log          ORD-5001 is fulfilled; from .env from the shell")
    event_id = checkout.shown.partition("order_state_changed ORD-5001 ")[2][:12]
    again = checkout.run("rerun", event_id, "--json")
    traced = checkout.run("trace", event_id)
    sent = checkout.run("send", "order_state_changed")
    mistyped = checkout.run("send", "order_state_change")

    assert triggered.stdout.splitlines()[0] == "order ORD-5001 is placed"
    assert triggered.stdout.splitlines()[-1] == "see: relay trace --order ORD-5001"
    assert json.loads(again.stdout)["event_id"].startswith(event_id), again.stderr
    assert "order ORD-5001" in traced.stdout, traced.stderr
    assert '"order_id": "ORD-5001"' in sent.stdout
    assert (mistyped.returncode, "is 'order_state_changed' meant?" in mistyped.stderr) == (2, True)
    wait_until(lambda: checkout.shown.count(f"ORD-5001 {event_id} ") == 3)
    assert read(checkout.folder / LOCAL_ENV)["RECEIVER_URL"].endswith(checkout.environ["RECEIVER_PORT"])


def test_a_package_without_a_handler_runs_and_says_what_to_write(checkout: Checkout) -> None:
    checkout.start("--rate", "0", "--quiet")
    checkout.wait_for("loaded       no handler")
    checkout.run("trigger", "unknown-event-type")
    checkout.run("trigger", "bad-signature")

    checkout.wait_for('@on("customer_workflow_ended")')
    checkout.wait_for("refused      order_state_changed: 401")
    assert "acknowledged" not in checkout.shown


def test_a_pause_is_shown_with_its_reason_and_is_no_silence(checkout: Checkout) -> None:
    checkout.start("--rate", "1")
    checkout.wait_for("unhandled ")
    checkout.run("pause", "--reason", "the shop is being repaired")
    checkout.wait_for("paused       the shop is being repaired; events wait. To go on: relay resume")
    seen = checkout.shown.count("acknowledged ")
    wait_until(lambda: checkout.shown.count("acknowledged ") > seen + SILENT_SECONDS + 2)

    checkout.run("resume")
    checkout.wait_for("resumed ")
    handled = checkout.shown.count("unhandled ")
    wait_until(lambda: checkout.shown.count("unhandled ") > handled + 2)
    assert "no pushes" not in checkout.shown


def test_pushes_that_stop_are_told_within_seconds(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout.start("--rate", "2")
    checkout.wait_for("acknowledged ")
    local = read(checkout.folder / LOCAL_ENV)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", local["PUBSUB_EMULATOR_HOST"])

    push = f"projects/{local['GOOGLE_CLOUD_PROJECT']}/subscriptions/{local['PUBSUB_SUBSCRIPTION']}"
    SubscriberClient().delete_subscription(request={"subscription": push})

    checkout.wait_for("no pushes ", within=25)


def test_a_taken_port_is_told_in_one_line(checkout: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(checkout.environ["WORKER_PORT"])))
        other.listen()
        ended = checkout.run("run")

    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [ended.stderr.strip()]
    assert f"WORKER_PORT={checkout.environ['WORKER_PORT']}" in ended.stderr


@pytest.mark.parametrize("option", ["--rate", "--events"])
def test_a_number_below_zero_is_refused(checkout: Checkout, option: str) -> None:
    ended = checkout.run("run", option, "-1")

    assert (ended.returncode, option in ended.stderr) == (2, True)


def test_a_missing_emulator_is_told_in_one_line(checkout: Checkout, tmp_path: Path) -> None:
    checkout.environ["PATH"] = str(tmp_path)

    ended = checkout.run("run")

    assert ended.returncode == 2
    assert ended.stderr.startswith("No Pub/Sub emulator found")
    assert len(ended.stderr.splitlines()) == 1


ANSWERS_IN_JSON = [
    "trigger list",
    "trigger unreadable",
    "send order_state_changed",
    "dead-letters list",
    "dead-letters redrive --dry-run",
    "dead-letters discard --dry-run",
    "reconcile --since 1h --dry-run",
    "ledger --since 1h",
    "trace --order ORD-5001",
    "doctor",
    "webhooks list",
    "webhooks show WH-1",
]


def test_the_commands_against_the_run_answer_in_json(checkout: Checkout) -> None:
    checkout.save(RAISING)
    checkout.start("--rate", "0")
    checkout.wait_for("loaded ")

    checkout.run("trigger", "order-fulfilled")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda command: checkout.run(*command.split(), "--json"), ANSWERS_IN_JSON))

    unparsed = {}
    for command, ended in zip(ANSWERS_IN_JSON, answers, strict=True):
        try:
            json.loads(ended.stdout)
        except ValueError:
            unparsed[command] = ended.stdout + ended.stderr
    assert unparsed == {}
