"""The commands alone: no service runs."""

from collections.abc import Iterator

import pytest

from tests.support.cloud_logging import CloudLogging


@pytest.fixture
def cloud_logging() -> Iterator[CloudLogging]:
    with CloudLogging().running() as running:
        yield running
