"""Cloud Run's contract with a container, held by the files and the command that the Dockerfile names."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from relay.local.processes import Child
from relay.local.services import ROOT
from tests.support.parts import OneStock, Service, order_event
from tests.support.ports import free_port
from tests.support.token_issuer import AUDIENCE, EMAIL
from tests.support.waiting import wait_until

LAST_STAGE = (ROOT / "Dockerfile").read_text().rpartition("FROM ")[2]
START_SECONDS = 3
CLOUD_RUN = {"K_SERVICE": "onestock", "K_REVISION": "onestock-00001-abc", "K_CONFIGURATION": "onestock"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Lay out what the image holds, and compile it as the image does."""
    app = tmp_path / "app"
    app.mkdir()
    for names in re.findall(r"^COPY (?!--from)(.+) \S+$", LAST_STAGE, re.MULTILINE):
        for name in names.split():
            source = ROOT / name
            shutil.copytree(source, app / name) if source.is_dir() else shutil.copy(source, app)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "main.py", "relay", "handlers"], cwd=app, check=True)
    return app


@pytest.fixture
def command() -> list[str]:
    found = re.search(r"^CMD (\[.+\])$", LAST_STAGE, re.MULTILINE)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


def started(command: list[str], image: Path, settings: dict[str, str], output: Path) -> Service:
    """Start a command of the image with what Cloud Run sets, and the address on loopback."""
    port = free_port()
    environ = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "BIND_HOST": "127.0.0.1",
        "PORT": str(port),
        **CLOUD_RUN,
        **settings,
    }
    environ.pop("HANDLERS_PACKAGE", None)  # The image holds the handlers that ship, and no tests.
    words = ["env", f"--chdir={image}", *command]
    return Service(Child(command[-1], words, environ=environ, output=output), port)


def first_answer(service: Service) -> requests.Response:
    """Return the first answer that /health ever gives."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            return requests.get(f"http://127.0.0.1:{service.port}/health", timeout=30)
        except requests.ConnectionError:
            continue
    raise AssertionError(service.child.output.read_text())


@pytest.fixture
def container(command: list[str], image: Path, settings: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    service = started(command, image, settings, tmp_path / "container.log")
    with service.child:
        yield service


def cpu_seconds_of_ended_children() -> float:
    """Return what our processes have used: unlike time on the wall, other tests beside this one do not add to it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_first_answer_is_healthy_and_webhooks_are_taken_at_once(container: Service) -> None:
    answer = first_answer(container)
    onestock = OneStock(container)
    accepted = onestock.send(order_event("C-1"))
    onestock.close()

    assert answer.status_code == 200
    assert accepted.status_code == 202


@pytest.mark.parametrize("service", ["receiver", "worker"])
def test_a_service_starts_within_three_seconds(
    service: str, image: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    settings |= {"PUSH_AUTH": "iam", "PUSH_AUDIENCE": AUDIENCE, "PUSH_SERVICE_ACCOUNT": EMAIL, "K_SERVICE": service}
    settings["HANDLERS_PACKAGE"] = "handlers"  # The image has no other ones.
    before = cpu_seconds_of_ended_children()

    running = started(["gunicorn", f"main:{service}()"], image, settings, tmp_path / "service.log")
    with running.child:
        status = first_answer(running).status_code

    assert status == 200
    assert cpu_seconds_of_ended_children() - before < START_SECONDS


def test_it_ends_within_ten_seconds_of_sigterm_and_answers_what_it_accepted(container: Service) -> None:
    first_answer(container)
    onestock, answered = OneStock(container), list[str]()

    def load(thread: int) -> None:
        for number in range(10_000):
            try:
                answered.append(onestock.send(order_event(f"C-{thread}-{number}")).json()["event_id"])
            except requests.ConnectionError:
                return

    with ThreadPoolExecutor(8) as pool:
        for thread in range(8):
            pool.submit(load, thread)
        wait_until(lambda: len(answered) > 200, within=30)
        container.child.signal(signal.SIGTERM)
        status = container.child.wait(10)
    onestock.close()

    assert status == 0
    published = [entry["event_id"] for entry in container.canonical("webhook") if entry["status"] == 202]
    assert sorted(answered) == sorted(published)
