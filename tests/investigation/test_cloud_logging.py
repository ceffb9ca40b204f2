"""Cloud Logging is read to its end: over many pages, and when the quota is exceeded in the middle."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.logging import Client

from relay.errors import LogUnreadable
from relay.investigation.cloud_logging import PAGE_SIZE, CloudLog
from tests.support.cloud_logging import CloudLogging

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ABOUT = 'jsonPayload.line="webhook"'


def entry(number: int) -> dict[str, Any]:
    """Return an entry; ten of them have the same time."""
    return {
        "logName": "projects/test-relay/logs/run.googleapis.com%2Fstdout",
        "resource": {"type": "cloud_run_revision"},
        "timestamp": (NEW_YEAR + timedelta(seconds=number // 10)).isoformat(),
        "insertId": f"entry-{number}",
        "labels": {"event_id": f"{number:064x}"},
        "jsonPayload": {"line": "webhook"},
    }


@pytest.fixture
def cloud_logging() -> Iterator[CloudLogging]:
    with CloudLogging([entry(number) for number in range(2 * PAGE_SIZE + 500)]).running() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def log(cloud_logging: CloudLogging, pauses: list[float]) -> CloudLog:
    options = {"api_endpoint": cloud_logging.url}
    client = Client(project="test-relay", credentials=AnonymousCredentials(), _use_grpc=False, client_options=options)
    return CloudLog(client, sleep=pauses.append)


def test_each_entry_of_all_pages_is_read_once_and_in_sequence(log: CloudLog, cloud_logging: CloudLogging) -> None:
    found = list(log.entries(ABOUT, since=NEW_YEAR + timedelta(seconds=10)))

    assert [int(read.event_id, 16) for read in found] == list(range(100, 2 * PAGE_SIZE + 500))
    assert len(cloud_logging.requests) == 3


def test_when_the_quota_is_exceeded_it_waits_and_goes_on_where_it_was(
    log: CloudLog, cloud_logging: CloudLogging, pauses: list[float]
) -> None:
    read = log.entries(ABOUT, since=NEW_YEAR)
    first = [next(read) for _ in range(PAGE_SIZE)]
    cloud_logging.refusals = 2

    rest = list(read)

    assert [int(found.event_id, 16) for found in (*first, *rest)] == list(range(2 * PAGE_SIZE + 500))
    assert pauses == [10, 20]


def test_a_quota_that_stays_exceeded_is_an_error(log: CloudLog, cloud_logging: CloudLogging) -> None:
    cloud_logging.refusals = 99

    with pytest.raises(LogUnreadable, match="Quota exceeded"):
        list(log.entries(ABOUT, since=NEW_YEAR))
