"""Cloud Scheduler calls the worker's watchdog: nobody else may, and a disabled webhook is enabled again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from relay.local.services import start_service
from relay.local.simulator import Simulator, Status
from tests.support.parts import Service

OURS = "https://receiver.example/webhooks/onestock"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.start() as running:
        running.site.create_webhook("order_state_changed", f"{OURS}/order_state_changed", keys=[b"test-key"])
        yield running


@pytest.fixture
def watching(settings: dict[str, str], simulator: Simulator, worker_port: int, tmp_path: Path) -> Iterator[Service]:
    settings |= {**simulator.environ, "ONESTOCK_WEBHOOK_URL": OURS, "ONESTOCK_REENABLE_WEBHOOKS": "true"}
    settings |= {"ONESTOCK_API_BUDGET_SECONDS": "1"}
    with start_service("worker", port=worker_port, settings=settings, output=tmp_path / "worker.log") as child:
        yield Service(child, worker_port)


def look(worker: Service) -> requests.Response:
    return requests.post(f"http://127.0.0.1:{worker.port}/onestock/watchdog", timeout=20)


def test_a_disabled_webhook_is_enabled_and_its_line_is_an_error(watching: Service, simulator: Simulator) -> None:
    (webhook,) = simulator.site.webhooks.values()
    first = look(watching)
    webhook.set_status(Status.DISABLED)

    second = look(watching)

    assert (first.status_code, second.status_code) == (200, 200)
    assert webhook.status is Status.ENABLED
    told = [(line["severity"], line["status"], line["enabled_again"]) for line in watching.canonical("webhook_status")]
    assert told == [("INFO", "enabled", False), ("ERROR", "disabled", True)]
    assert watching.canonical("webhook_status")[1]["missing_since"]


def test_a_onestock_that_cannot_be_asked_is_a_503(watching: Service, simulator: Simulator) -> None:
    simulator.fail(500, path="/v3/webhooks", times=5)

    answer = look(watching)

    assert answer.status_code == 503
    assert watching.canonical("webhook_watch_failed")[0]["severity"] == "ERROR"


@pytest.fixture
def with_tokens(settings: dict[str, str]) -> None:
    settings |= {"PUSH_AUTH": "oidc", "PUSH_AUDIENCE": "https://w.example", "PUSH_SERVICE_ACCOUNT": "p@x.example"}


@pytest.mark.usefixtures("with_tokens")
def test_without_a_token_nobody_may_look(watching: Service, simulator: Simulator) -> None:
    assert look(watching).status_code == 401
    assert simulator.calls == {}
