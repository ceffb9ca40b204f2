"""The real parts as fixtures: topics on Google's emulator, both services under gunicorn, and a OneStock that signs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.local.emulator import Emulator
from relay.local.services import start_service
from tests.support.checkout import Checkout, checkout_in
from tests.support.cloud_logging import CloudLogging
from tests.support.parts import HASH_KEY, OneStock, PubSub, Service, Tool, new_pubsub
from tests.support.ports import free_port
from tests.support.pubsub_proxy import PubSubProxy
from tests.support.shop.ledger import Ledger


@pytest.fixture
def worker_port() -> int:
    return free_port()


@pytest.fixture
def pubsub(emulator: Emulator, worker_port: int) -> PubSub:
    return new_pubsub(emulator, worker_port)


@pytest.fixture
def settings(pubsub: PubSub) -> dict[str, str]:
    return {
        "GOOGLE_CLOUD_PROJECT": "test-relay",
        "PUBSUB_TOPIC": pubsub.topology.topic,
        "PUBSUB_DEAD_LETTER_TOPIC": pubsub.topology.dead_letter_topic,
        "PUBSUB_DEAD_LETTER_SUBSCRIPTION": pubsub.topology.dead_letter_subscription,
        "PUBSUB_EMULATOR_HOST": pubsub.emulator.host,
        "ONESTOCK_HASH_KEYS": HASH_KEY.decode(),
        "PUSH_AUTH": "off",
        "HANDLERS_PACKAGE": "tests.support.following",
    }


@pytest.fixture
def worker(settings: dict[str, str], worker_port: int, tmp_path: Path) -> Iterator[Service]:
    with start_service("worker", port=worker_port, settings=settings, output=tmp_path / "worker.log") as child:
        yield Service(child, worker_port)


@pytest.fixture
def receiver(settings: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    port = free_port()
    with start_service("receiver", port=port, settings=settings, output=tmp_path / "receiver.log") as child:
        yield Service(child, port)


@pytest.fixture
def onestock(receiver: Service) -> Iterator[OneStock]:
    sender = OneStock(receiver)
    yield sender
    sender.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def shop_settings(settings: dict[str, str], ledger: Ledger) -> dict[str, str]:
    """Make the worker run the handlers of tests/shop."""
    settings |= {"HANDLERS_PACKAGE": "tests.support.shop", "SHOP_LEDGER": str(ledger.file)}
    return settings


@pytest.fixture
def tool(settings: dict[str, str]) -> Tool:
    return Tool(settings)


@pytest.fixture
def rejecting(shop_settings: dict[str, str], worker: Service) -> Service:
    """Return a worker whose handlers reject orders marked so, until the shop is repaired."""
    assert shop_settings["HANDLERS_PACKAGE"] == "tests.support.shop"
    return worker


@pytest.fixture
def proxy(pubsub: PubSub, tool: Tool) -> Iterator[PubSubProxy]:
    """Give the command alone a Pub/Sub that a test can let fail."""
    with PubSubProxy(pubsub.emulator.host).running() as running:
        tool.environ = {**tool.environ, "PUBSUB_EMULATOR_HOST": running.host}
        yield running


@pytest.fixture
def cloud_logging() -> Iterator[CloudLogging]:
    with CloudLogging().running() as running:
        yield running


@pytest.fixture
def anywhere(cloud_logging: CloudLogging, tmp_path: Path) -> Tool:
    """Give the command without a terminal, as ssh and cron start it, in a folder without a local run."""
    return Tool({"GOOGLE_CLOUD_PROJECT": "test-relay", **cloud_logging.environ}, tmp_path)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """Give a developer's folder, in which the local run has ports of its own."""
    with checkout_in(tmp_path) as made:
        yield made
