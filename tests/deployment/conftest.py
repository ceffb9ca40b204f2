"""`python -m deploy` with the real gcloud, which speaks to the Pub/Sub emulator and to a Google of ours."""

import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.local.emulator import Emulator
from relay.local.services import ROOT
from tests.support.gcloud import environ_at
from tests.support.google_cloud import GoogleCloud
from tests.support.google_refusals import Call


@dataclass
class Deployer:
    """A person, or Cloud Build, who deploys."""

    cloud: GoogleCloud
    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    sources: Path = ROOT
    """Where the commands run: a folder that holds what is uploaded, and keeps what was chosen."""

    def run(self, *arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m deploy` to its end."""
        return self._run([sys.executable, "-m", "deploy", *arguments], stdin, settings)

    def gcloud(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run gcloud itself."""
        return self._run(["gcloud", *arguments], stdin, {})

    def did(self, *arguments: str, **settings: str) -> list[Call]:
        """Run a command that must succeed, and return the changes that Google was asked for."""
        before = len(self.cloud.calls)
        ended = self.run(*arguments, **settings)
        assert ended.returncode == 0, ended.stderr
        return self.cloud.calls[before:]

    def _run(self, command: list[str], stdin: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.sources,
            env={**self.cloud.environ(self.home), **self.settings, **settings},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )

    @property
    def kept(self) -> Path:
        """The file that keeps what was chosen for the project."""
        return self.sources / "deploy" / "installations" / f"{self.cloud.project}.env"

    def keep(self, **settings: str) -> None:
        """Choose settings, as somebody does who edits the file."""
        self.kept.parent.mkdir(exist_ok=True)
        self.kept.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def copy_of_the_upload(folder: Path) -> Path:
    """Copy exactly what `gcloud builds submit` would upload into `folder`."""
    list_files = ["gcloud", "meta", "list-files-for-upload", str(ROOT)]
    names = subprocess.run(
        list_files, env=environ_at(folder), capture_output=True, text=True, check=True
    ).stdout.split()
    for name in names:
        target = folder / "sources" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return folder / "sources"


@pytest.fixture(scope="session", autouse=True)
def _every_gcloud_starts_quickly(warm_gcloud: None) -> None:
    """Have nearly all of these tests wait less."""


@pytest.fixture(scope="module")
def cloud(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleCloud]:
    project = f"test-{uuid.uuid4().hex[:8]}"
    with GoogleCloud(project, emulator.host).running(tmp_path_factory.mktemp("builds")) as running:
        yield running


@pytest.fixture(scope="module")
def deployer(cloud: GoogleCloud, tmp_path_factory: pytest.TempPathFactory) -> Deployer:
    """Somebody in a project that has a relay's accounts already, with every setting as it is by default."""
    deployer = somebody(cloud, tmp_path_factory)
    cloud.prepare()
    deployer.keep()
    return deployer


def somebody(cloud: GoogleCloud, tmp_path_factory: pytest.TempPathFactory) -> Deployer:
    """Return somebody in an empty project."""
    sources = copy_of_the_upload(tmp_path_factory.mktemp("upload"))
    return Deployer(cloud, tmp_path_factory.mktemp("home"), sources=sources)
