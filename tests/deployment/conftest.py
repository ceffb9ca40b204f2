"""`python -m deploy` with the real gcloud, which speaks to the Pub/Sub emulator and to a Google of ours."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.local.emulator import Emulator
from relay.local.services import ROOT
from tests.support.google_cloud import Call, GoogleCloud


@dataclass
class Deployer:
    """A person, or Cloud Build, who deploys."""

    cloud: GoogleCloud
    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m deploy` to its end."""
        return self._run([sys.executable, "-m", "deploy", *arguments], stdin, settings)

    def gcloud(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run gcloud itself."""
        return self._run(["gcloud", *arguments], "", {})

    def did(self, *arguments: str, **settings: str) -> list[Call]:
        """Run a command that must succeed, and return the changes that Google was asked for."""
        before = len(self.cloud.calls)
        ended = self.run(*arguments, **settings)
        assert ended.returncode == 0, ended.stderr
        return self.cloud.calls[before:]

    def _run(self, command: list[str], stdin: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**self.cloud.environ(self.home), **self.settings, **settings},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module")
def cloud(emulator: Emulator) -> Iterator[GoogleCloud]:
    with GoogleCloud(f"test-{uuid.uuid4().hex[:8]}", emulator.host).running() as running:
        yield running


@pytest.fixture(scope="module")
def deployer(cloud: GoogleCloud, tmp_path_factory: pytest.TempPathFactory) -> Deployer:
    return Deployer(cloud, tmp_path_factory.mktemp("home"))
