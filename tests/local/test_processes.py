"""Children end with us, and no signal that we ignore is ignored by them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from relay.local.processes import free_port, with_default_signals
from relay.local.services import ROOT
from tests.support.waiting import wait_until

ONE_CHILD = """
import sys
from pathlib import Path
from relay.local.processes import Child

sleeper = [sys.executable, "-c", "print('ready', flush=True); import time; time.sleep(60)"]
with Child("sleeper", sleeper, environ={}, output=Path(sys.argv[1])) as child:
    print(child.pid, flush=True)
    print(child.wait(60), flush=True)
"""


def test_a_child_of_a_background_job_of_a_script_can_be_interrupted(tmp_path: Path) -> None:
    output = tmp_path / "output"
    # A shell that is not interactive lets its background jobs ignore SIGINT.
    script = ["bash", "-c", '"$@" & wait', "bash", sys.executable, "-c", ONE_CHILD, str(output)]

    with subprocess.Popen(script, cwd=ROOT, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        wait_until(lambda: "ready" in output.read_text())
        os.kill(pid, signal.SIGINT)
        status = int(shell.stdout.readline())

    assert status in (1, -signal.SIGINT)
    assert "KeyboardInterrupt" in output.read_text()


def test_the_program_that_runs_is_the_one_that_was_asked_for() -> None:
    shown = subprocess.run(with_default_signals(["echo", "a b", ""]), capture_output=True, text=True, check=True)

    assert shown.stdout == "a b \n"


def test_a_free_port_is_none_that_an_outgoing_connection_may_take_before_we_listen() -> None:
    first_of_linux = 32_768  # Other systems begin higher.

    assert all(free_port() < first_of_linux for _ in range(50))
