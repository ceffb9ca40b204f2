"""Google's emulators, one of each for the whole run. Each test has its own names in them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from google.cloud.firestore import Client as FirestoreClient
from google.pubsub_v1 import PublisherClient
from hypothesis import settings

from relay.local.emulator import FIRESTORE, PUBSUB, Emulator, Product
from tests.support.ports import free_port
from tests.support.sizes import IS_FULL
from tests.support.warm_gcloud import running as running_warm_gcloud

# No deadline for an example: on a busy machine any takes long, which is no fault of what is tested.
# Each run tries other examples.
settings.register_profile("relay", deadline=None, max_examples=40)
# On the oldest Python the question is whether the code runs; examples are searched for on the image's.
settings.register_profile("oldest", deadline=None, max_examples=10)
settings.load_profile("relay")

# An emulator lives for minutes, beside others: optimizing its code takes more of a core than that saves.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1")
FIRST_CALL_SECONDS = 60
WITH_PROCESSES = frozenset({"system", "browser"})
LONGEST = ("test_install.py", "test_faults.py", "test_redrive.py", "test_screens.py", "test_local_run.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, then with what waits for processes: small files fill the end evenly."""
    items.sort(key=lambda item: (not item.path.name.startswith(LONGEST), WITH_PROCESSES.isdisjoint(item.path.parts)))


@contextmanager
def started(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Run an emulator of our own, which tests may freeze, and tell Google's clients of it."""
    environ = {name: value for name, value in os.environ.items() if name != product.variable}
    output = tmp_path_factory.mktemp("emulator") / f"{product.command}.log"
    with Emulator.start(product, port=free_port(), output=output, environ=environ) as running:
        os.environ[product.variable] = running.host
        yield running
    del os.environ[product.variable]


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with started(PUBSUB, tmp_path_factory) as running:
        # An emulator loads most of its code for its first call: longer than a test waits, on a busy machine.
        PublisherClient().create_topic(name="projects/test-relay/topics/first-call", timeout=FIRST_CALL_SECONDS)
        yield running


@pytest.fixture(autouse=True)
def _its_subscriptions_end_with_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delete the subscriptions that a test made: the emulator would push to its worker until the end of all tests."""
    if "emulator" not in request.fixturenames:
        yield
        return
    url = f"http://{request.getfixturevalue('emulator').host}/v1"
    before = _subscriptions(url)
    yield
    for name in _subscriptions(url) - before:
        requests.delete(f"{url}/{name}", timeout=FIRST_CALL_SECONDS).raise_for_status()


def _subscriptions(url: str) -> set[str]:
    listed = requests.get(f"{url}/projects/test-relay/subscriptions?pageSize=1000", timeout=FIRST_CALL_SECONDS).json()
    return {one["name"] for one in listed.get("subscriptions", [])}


@pytest.fixture(scope="session")
def firestore_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with started(FIRESTORE, tmp_path_factory) as running:
        document = FirestoreClient(project="test-relay").document("first-calls/1")
        document.set({}, timeout=FIRST_CALL_SECONDS)
        document.get(timeout=FIRST_CALL_SECONDS)
        yield running


@pytest.fixture(scope="session")
def warm_gcloud() -> Iterator[None]:
    """Let gcloud start in a tenth of its time; `make test-full` starts each gcloud by itself."""
    if IS_FULL:
        yield
        return
    with running_warm_gcloud() as environ, pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        yield
