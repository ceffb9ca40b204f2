"""Google's emulators, one of each for the whole run. Each test has its own names in them."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from relay.local.emulator import FIRESTORE, PUBSUB, Emulator, Product
from relay.local.processes import free_port

# No deadline for an example: on a busy machine any takes long, which is no fault of what is tested.
settings.register_profile("relay", deadline=None)
settings.load_profile("relay")

LONGEST = ("test_install.py", "test_faults.py", "test_fuzz.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that no core is idle at the end."""
    items.sort(key=lambda item: not item.path.name.startswith(LONGEST))


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
    yield from started(PUBSUB, tmp_path_factory)


@pytest.fixture(scope="session")
def firestore_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    yield from started(FIRESTORE, tmp_path_factory)
