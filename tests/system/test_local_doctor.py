"""`relay doctor` beside the local run: good while the run is, and a fault is named with what mends it there."""

import json
from typing import Any

import pytest
from google.pubsub_v1 import PushConfig, SubscriberClient

from relay.local.environment import LOCAL_ENV, read
from tests.support.checkout import Checkout

HANDLER = """
from relay import OrderStateChanged, on

@on("order_state_changed")
def follow(event: OrderStateChanged) -> None:
    print(event.order_id)
"""


def found(checkout: Checkout) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the doctor's exit status, and its findings that are not good."""
    ended = checkout.run("doctor", "--json", "--strict")
    findings = json.loads(ended.stdout)
    return ended.returncode, {one["check"]: one for one in findings if one["verdict"] != "good"}


def push_to(endpoint: str, checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    local = read(checkout.folder / LOCAL_ENV)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", local["PUBSUB_EMULATOR_HOST"])
    path = f"projects/{local['GOOGLE_CLOUD_PROJECT']}/subscriptions/{local['PUBSUB_SUBSCRIPTION']}"
    wanted = PushConfig(push_endpoint=endpoint)
    SubscriberClient().modify_push_config(request={"subscription": path, "push_config": wanted})


def test_a_healthy_run_is_good_and_a_wrong_endpoint_is_named(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout.save(HANDLER)
    checkout.start("--rate", "0")
    checkout.wait_for("loaded ")
    healthy = found(checkout)
    text = checkout.run("doctor").stdout

    push_to("http://127.0.0.1:9/pubsub/push", checkout, monkeypatch)
    status, faults = found(checkout)

    assert healthy == (0, {})
    assert "grants, Cloud Run and alerts" in text
    assert (status, [*faults]) == (1, ["push endpoint"])
    assert faults["push endpoint"]["text"].endswith("stop the local run (Ctrl-C) and start it again")
    assert faults["push endpoint"]["commands"] == ["make run"]


def test_a_worker_that_does_not_run_is_named_and_a_paused_run_is_resumed(checkout: Checkout) -> None:
    checkout.save("import nowhere_to_be_found\n")
    checkout.start("--rate", "0")
    checkout.wait_for("broken ")
    status, faults = found(checkout)
    checkout.save(HANDLER)
    checkout.wait_for("reloaded ")
    checkout.run("pause", "--reason", "invented")
    _, paused = found(checkout)
    checkout.run("resume")

    assert (status, [*faults]) == (1, ["worker answers"])
    assert ".relay/logs/worker.log" in faults["worker answers"]["text"]
    assert [*paused] == ["pause"]
    assert paused["pause"]["commands"][0].endswith("relay resume")
    assert found(checkout) == (0, {})
