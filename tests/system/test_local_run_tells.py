"""The terminal of the local run tells what ended, in the order in which it happened."""

import os
import re
import signal
import subprocess

from tests.support.checkout import Checkout

FAILING = """
from relay import OrderStateChanged, on

@on("order_state_changed")
def bill(event: OrderStateChanged) -> None:
    raise ValueError("invented: always")

@on("order_state_changed")
def follow(event: OrderStateChanged) -> None:
    pass

@on("order_state_changed")
def count(event: OrderStateChanged) -> None:
    pass
"""


def test_a_dead_letter_comes_after_its_last_attempt_and_a_deleted_file_is_removed(checkout: Checkout) -> None:
    checkout.save(FAILING)
    more = checkout.folder / checkout.environ["HANDLERS_PACKAGE"] / "more.py"
    more.touch()
    checkout.start("--rate", "0", "--attempts", "2")
    checkout.wait_for("loaded ")
    checkout.run("send", "order_state_changed")
    checkout.wait_for("used up 2")

    more.unlink()
    checkout.wait_for(f"removed      {more.parent.name}/more.py in ")

    ends = r"attempt 2 of 2: bill failed \(ValueError: invented: always\), 2 others done|used up 2"
    steps = re.findall(ends, checkout.shown)
    assert [step[:9] for step in steps[:2]] == ["attempt 2", "used up 2"]
    assert "relay/worker" not in checkout.shown
    assert "reloaded " not in checkout.shown


def test_an_emulator_that_ends_ends_the_run_with_what_to_do(checkout: Checkout) -> None:
    run = checkout.start("--rate", "0")
    checkout.wait_for("loaded ")
    found = subprocess.run(["pgrep", "-P", str(run.pid), "-f", "emulator"], capture_output=True, text=True, check=True)

    os.kill(int(found.stdout), signal.SIGKILL)

    assert run.wait(20) == 2
    assert "The Pub/Sub emulator ended unexpectedly" in checkout.shown
    assert "Start again: make run. Its log: " in checkout.shown
