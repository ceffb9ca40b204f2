"""Real webhooks reach a laptop through a tunnel, are kept as files, and are played back into the local run."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.local.processes import Child, is_taken
from relay.local.services import ROOT
from relay.local.simulator import Simulator
from tests.support.checkout import Checkout
from tests.support.cloud_logging import CloudLogging
from tests.support.parts import Tool
from tests.support.ports import free_port
from tests.support.waiting import wait_until

HANDLER = """
from relay import Event, on

@on("*")
def greet(event: Event) -> None:
    print("greeted:", event.content["order_id"], event.content["customer_name"])
"""


@pytest.fixture
def site(checkout: Checkout) -> Iterator[Simulator]:
    """Give the qualification site; the checkout's .env names it, a hash key of its own, and the tunnel."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.tunnel", str(port), checkout.environ["RECEIVER_PORT"]]
    environ = {**checkout.environ, "PYTHONPATH": str(ROOT)}
    with (
        Simulator.start() as onestock,
        Child("The tunnel", command, environ=environ, output=checkout.folder / "tunnel.log", folder=ROOT) as tunnel,
    ):
        tunnel.wait_until(lambda: is_taken(port), within_seconds=20, what="it listened")
        settings = {
            **onestock.environ,
            "ONESTOCK_HASH_KEYS": "invented-key-of-the-qualification-site",
            "ONESTOCK_WEBHOOK_URL": f"http://127.0.0.1:{port}/webhooks/onestock",
        }
        (checkout.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        yield onestock


def test_a_webhook_through_a_tunnel_is_handled_kept_masked_and_played_back(checkout: Checkout, site: Simulator) -> None:
    checkout.save(HANDLER)
    checkout.start("--rate", "0")
    checkout.wait_for("loaded ")
    created = checkout.run("webhooks", "create", "order_state_changed")
    site.site.emit("order_state_changed", {"order_id": "ORD-1", "new_state": "packed", "customer_name": "Invented"})
    checkout.wait_for("greeted: ORD-1 Invented")

    captured = checkout.run("capture", "--json")
    [file] = json.loads(captured.stdout)
    played = checkout.run("send", "--captured", file)
    made = checkout.run("fixtures")
    again = checkout.run("fixtures", "--into", "elsewhere", "--json")

    assert created.returncode == 0, created.stderr
    checkout.wait_for("greeted: ORD-1 ***")
    kept = (checkout.folder / file).read_text()
    assert ("Invented" in kept, '"masked": true' in kept) == (False, True)
    assert (played.returncode, "202 in " in played.stdout) == (0, True)
    assert 'captured="order_state_changed_packed"' in made.stdout
    [fixture] = json.loads(again.stdout)
    assert fixture == {"file": "elsewhere/order_state_changed_packed.json", "name": "order_state_changed_packed"}
    diagnosed = checkout.run("signature", "diagnose", file)
    assert "cut or masked" in diagnosed.stdout


@pytest.mark.parametrize("content", [b"no webhook", b'{"headers": {}}', None])
def test_a_file_that_holds_no_webhook_is_one_line(checkout: Checkout, content: bytes | None) -> None:
    if content is not None:
        (checkout.folder / "some.json").write_bytes(content)

    ended = checkout.run("send", "--captured", "some.json", "--key", "an-invented-key")

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("some.json")


def test_the_newest_webhooks_in_cloud_logging_are_kept_as_far_as_the_log_holds_them(tmp_path: Path) -> None:
    contents = [{"order_id": "ORD-1"}, {"order_id": "ORD-2"}, "9000 bytes"]
    entries = [
        {
            "logName": "projects/test-relay/logs/run.googleapis.com%2Fstdout",
            "resource": {"type": "cloud_run_revision"},
            "timestamp": f"2026-01-01T00:00:0{number}Z",
            "insertId": str(number),
            "jsonPayload": {"line": "webhook", "event_type": "order_state_changed", "content": content},
        }
        for number, content in enumerate(contents)
    ]
    with CloudLogging(entries).running() as running:
        tool = Tool({"RELAY_LINES": __file__, **running.environ})
        ended = tool.run(
            "capture",
            "--project",
            "test-relay",
            "--since",
            "2026-01-01",
            "--limit",
            "2",
            "--into",
            str(tmp_path / "kept"),
        )

    [file] = (tmp_path / "kept").iterdir()
    assert ended.stdout.startswith("1 webhook of Cloud Logging of the project test-relay kept")
    assert "ORD-2" in file.read_text()
    assert "1 webhook left out: the log does not hold their whole body" in ended.stderr


def test_every_shell_block_of_the_text_runs_or_says_why_not(checkout: Checkout, tmp_path: Path) -> None:
    checkout.environ["HANDLERS_PACKAGE"] = "tests.support.following"
    checkout.start("--rate", "0")
    checkout.wait_for("loaded ")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "relay").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m relay "$@"\n')
    (bin_ / "relay").chmod(0o755)
    (tmp_path / "Makefile").write_text(f"include {ROOT / 'Makefile'}\n")
    environ = {**checkout.environ, "PATH": f"{bin_}:{checkout.environ['PATH']}"}

    runnable = blocks((ROOT / "docs" / "local.md").read_text())
    assert [name for name in ("trigger", "capture", "fixtures") if name not in "".join(runnable)] == []
    for block in runnable:
        script = block.replace("make ", f"make -o {bin_}/relay BIN={bin_} ")
        ended = subprocess.run(
            ["sh", "-ec", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, block + ended.stdout + ended.stderr
        if "trigger" in block:
            wait_until(lambda: "handled " in checkout.shown)


def blocks(text: str) -> list[str]:
    """Return the indented blocks that no comment marks as not run."""
    found: list[str] = []
    is_run, lines = True, [*text.splitlines(), "end"]
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("    "):
            if not before:
                found.append("")
            found[-1] += f"{line[4:]}\n" if is_run else ""
        elif line:
            is_run = not line.startswith("<!-- not run here: ")
    return [block for block in found if block]
