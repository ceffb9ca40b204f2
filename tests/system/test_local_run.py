"""`make run` shows each event's way, tells of a taken port in one line, and leaves nothing running."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from relay.local.processes import Child, free_port, is_taken
from relay.local.services import ROOT
from tests.support.waiting import wait_until

NAMES = ("RECEIVER_PORT", "WORKER_PORT", "EMULATOR_PORT")


@pytest.fixture
def environ() -> dict[str, str]:
    # An emulator of its own: this one has to end with the run.
    inherited = {name: value for name, value in os.environ.items() if name != "PUBSUB_EMULATOR_HOST"}
    return {**inherited, **{name: str(free_port()) for name in NAMES}}


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_run_shows_each_way_and_leaves_nothing_running(
    environ: dict[str, str], tmp_path: Path, stop: signal.Signals
) -> None:
    command = [sys.executable, "-m", "relay", "run", "--rate", "20"]
    environ["PYTHONPATH"] = str(ROOT)
    with Child("make run", command, environ=environ, output=tmp_path / "run.log") as run:
        wait_until(lambda: "dead letter " in run.output.read_text(), within=60)
        os.kill(run.pid, stop)
        status = run.wait(30)

    shown = run.output.read_text()
    assert status == 0
    assert all(
        f"  {step}" in shown
        for step in ("sent ", "acknowledged ", "handled ", "duplicate ", "dead letter ", "refund ", "shipment ")
    )
    assert "verified and taken it, again" not in shown
    assert [name for name in NAMES if is_taken(int(environ[name]))] == []


def run_in_vain(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relay", "run"]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30, check=False)


def test_a_taken_port_is_told_in_one_line(environ: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(environ["WORKER_PORT"])))
        other.listen()
        ended = run_in_vain(environ)

    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [ended.stderr.strip()]
    assert f"WORKER_PORT={environ['WORKER_PORT']}" in ended.stderr


def test_a_missing_emulator_is_told_in_one_line(environ: dict[str, str], tmp_path: Path) -> None:
    environ["PATH"] = str(tmp_path)

    ended = run_in_vain(environ)

    assert ended.returncode == 2
    assert ended.stderr.startswith("No Pub/Sub emulator found")
    assert len(ended.stderr.splitlines()) == 1
