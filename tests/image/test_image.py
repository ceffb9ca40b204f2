"""Each step of the Dockerfile works, and what it makes handles a signed event.

The base image is a stand-in from Debian's archive (bookworm with Python 3.11): no registry of images is needed.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from relay.local.processes import Child
from relay.local.services import ROOT
from relay.local.simulator import send
from tests.support.parts import HASH_KEY, PubSub, order_event
from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]
BASE = "docker.io/library/python:3.13-slim-bookworm"
USER = 65532
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Buildah:
    """Debian's builder, which needs no daemon."""

    folder: Path

    def __call__(self, *arguments: str) -> str:
        """Run one command and return what it printed."""
        return subprocess.run(self.command(*arguments), check=True, capture_output=True, text=True).stdout.strip()

    def command(self, *arguments: str) -> list[str]:
        """Return the words of one command."""
        where = ["--storage-driver=vfs", f"--root={self.folder}/storage", f"--runroot={self.folder}/run"]
        return ["buildah", *where, *arguments]

    @contextmanager
    def running(self, command: list[str], environ: dict[str, str], output: Path) -> Iterator[Child]:
        """Run a container of the image until the block ends."""
        container = self("from", "--pull-never", "localhost/relay:check")
        given = [word for name, value in environ.items() for word in ("--env", f"{name}={value}")]
        words = self.command("run", "--isolation=chroot", "--network=host", *given, container, "--", *command)
        with Child(command[-1], words, environ=os.environ, output=output) as child:
            url = f"http://127.0.0.1:{environ['PORT']}/health"
            child.wait_until(lambda: _is_healthy(url), within_seconds=30, what="it was healthy")
            yield child


def _is_healthy(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


def gunicorn_of(service: str) -> int:
    """Return the pid of what Cloud Run sends SIGTERM to; around it are buildah's own processes."""
    running = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            is_python = b"python" in words[0]  # buildah's own processes have gunicorn's words too.
            if is_python and f"main:{service}()".encode() in words and process.stat().st_uid == USER:
                running.append(int(process.name))
    return min(running)


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    folder = tmp_path_factory.mktemp("image")
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(["debootstrap", "--variant=minbase", packages, "bookworm", folder / "base"], check=True)
    subprocess.run(["tar", "-C", folder / "base", "-cf", folder / "base.tar", "."], check=True)
    run = Buildah(folder)
    base = run("from", "scratch")
    run("add", base, str(folder / "base.tar"), "/")
    run("config", f"--env=PIP_CERT={CERTIFICATES}", base)
    run("commit", base, BASE)
    certificates = f"--volume={Path(CERTIFICATES).parent}:{Path(CERTIFICATES).parent}:ro"
    run("build", "--isolation=chroot", "--network=host", "--pull-never", certificates, "--tag=relay:check", str(ROOT))
    return run


@pytest.fixture(scope="module")
def config(buildah: Buildah) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(buildah("inspect", "--type=image", "localhost/relay:check"))
    found: dict[str, Any] = described["OCIv1"]["config"]
    return found


def test_the_image_is_the_receiver_and_does_not_run_as_root(config: dict[str, Any]) -> None:
    assert config["Cmd"] == ["gunicorn", "main:receiver()"]
    assert config["User"] == "65532:65532"


def test_a_signed_event_comes_to_a_handler_and_both_end_in_time(
    buildah: Buildah, config: dict[str, Any], settings: dict[str, str], pubsub: PubSub, worker_port: int, tmp_path: Path
) -> None:
    settings.pop("HANDLERS_PACKAGE", None)  # The image holds the handlers that ship, and no tests.
    port = free_port()
    worker_log = tmp_path / "worker.log"
    worker = buildah.running(["gunicorn", "main:worker()"], settings | {"PORT": str(worker_port)}, worker_log)
    receiver = buildah.running(config["Cmd"], settings | {"PORT": str(port)}, tmp_path / "receiver.log")
    with worker as worker_child, receiver as receiver_child, requests.Session() as onestock:
        url = f"http://127.0.0.1:{port}/webhooks/onestock/order_state_changed"
        answer = send(onestock, url, order_event("I-1"), keys=(HASH_KEY,))
        event_id = answer.json()["event_id"]
        wait_until(lambda: f'"event_id":"{event_id}"' in worker_log.read_text().replace(" ", ""), within=20)
        onestock.close()
        for service in ("receiver", "worker"):
            os.kill(gunicorn_of(service), signal.SIGTERM)
        ended = [child.wait(10) for child in (receiver_child, worker_child)]

    assert answer.status_code == 202
    assert '"outcome":"handled"' in worker_log.read_text().replace(" ", "")
    assert ended == [0, 0]
    assert pubsub.dead_letters() == []
