"""`make` installs the command `relay` beside the Python that it runs under, and it works from every folder."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from relay.local.services import ROOT


def test_the_virtual_environment_has_the_command_relay(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (venv / "installed").touch()
    subprocess.run(["make", "--silent", "-C", ROOT, f"VENV={venv}", f"{venv}/bin/relay"], check=True)
    libraries = sysconfig.get_path("purelib")

    shown = subprocess.run(
        [venv / "bin" / "relay", "--help"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": libraries},
        capture_output=True,
        text=True,
        check=False,
    )

    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Usage: relay [OPTIONS] COMMAND")
