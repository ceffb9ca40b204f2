"""The console's lines: files are followed as they grow and are replaced; Cloud Logging is read backwards, then on."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.logging import Client

from relay.console.lines import CloudLines, FollowedFiles
from relay.console.reading import Reading
from relay.investigation.cloud_logging import CloudLog
from relay.investigation.entries import Entry
from relay.investigation.index import EventIndex
from relay.investigation.records import EventFilter
from tests.support.cloud_logging import CloudLogging
from tests.support.entries import id_of
from tests.support.waiting import wait_until


def line(number: int, *, time: datetime) -> str:
    labels = {"event_id": id_of(number), "event_type": "order_state_changed", "order_id": f"ORD-{number}"}
    fields = {"line": "webhook", "outcome": "published", "status": 202, "message": "Webhook"}
    return json.dumps({"time": time.isoformat(), **fields, "logging.googleapis.com/labels": labels}) + "\n"


def ids(entries: list[Entry]) -> list[int]:
    return [int(entry.event_id, 16) for entry in entries]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "receiver.log"


def test_a_file_is_followed_line_by_line_and_what_is_no_line_is_passed_over(file: Path) -> None:
    now = datetime.now(UTC)
    files = FollowedFiles([file])
    assert files.newer() == []

    file.write_text(
        "[2026-01-31] Starting gunicorn\nprinted by a handler\n" + line(1, time=now) + line(2, time=now)[:50]
    )
    assert ids(files.newer()) == [1]
    with file.open("a") as sink:
        sink.write(line(2, time=now)[50:] + '"text"\n[1, 2]\n{"time": 5}\n')

    assert ids(files.newer()) == [2]


def test_a_file_is_named_as_its_reader_would_name_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)

    assert str(FollowedFiles([file, Path("/elsewhere/worker.log")])) == "receiver.log, /elsewhere/worker.log"


def test_a_file_that_is_replaced_or_begun_anew_is_read_from_its_start(file: Path) -> None:
    now = datetime.now(UTC)
    file.write_text(line(1, time=now))
    files = FollowedFiles([file])
    assert ids(files.newer()) == [1]

    (file.parent / "new.log").write_text(line(2, time=now))
    (file.parent / "new.log").rename(file)
    assert ids(files.newer()) == [2]
    file.write_text(line(3, time=now).replace("Webhook", ""))

    assert ids(files.newer()) == [3]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("count", [1, 3])
def test_what_gcloud_logging_read_printed_is_read_too_however_long_it_is(
    file: Path, indent: int | None, count: int
) -> None:
    fields = {"line": "webhook", "content": "x" * 1_500_000}
    entry = {"timestamp": "2026-01-31T09:30:00Z", "labels": {"event_id": id_of(7)}, "jsonPayload": fields}
    file.write_text(json.dumps([entry] * count, indent=indent))
    files = FollowedFiles([file])

    assert ids(files.newer()) == [7] * count
    assert files.newer() == []


def test_a_window_is_whole_only_once_its_longest_line_was_read(file: Path) -> None:
    now = datetime.now(UTC)
    file.write_text(line(1, time=now) + "x" * 10_000_000 + "\n" + line(2, time=now))

    parts = [ids(entries) for entries, _ in FollowedFiles([file]).backwards()]

    assert (parts[0], parts[-1], len(parts) > 5) == ([1], [2], True)


@pytest.fixture
def cloud() -> Iterator[CloudLogging]:
    with CloudLogging().running() as running:
        yield running


def cloud_lines(cloud: CloudLogging, *, since: timedelta) -> CloudLines:
    options = {"api_endpoint": cloud.url}
    client = Client(project="test-relay", credentials=AnonymousCredentials(), _use_grpc=False, client_options=options)
    return CloudLines(CloudLog(client, pauses=()), since=datetime.now(UTC) - since)


def took_in(cloud: CloudLogging, *lines: str) -> None:
    cloud.take("".join(lines), service="receiver", project="test-relay")


def test_cloud_logging_is_read_the_newest_part_first_until_the_window_is_whole(cloud: CloudLogging) -> None:
    now = datetime.now(UTC)
    took_in(cloud, *(line(minutes, time=now - timedelta(minutes=minutes)) for minutes in (90, 40, 5, 0)))

    parts = [
        (ids(entries), read_from) for entries, read_from in cloud_lines(cloud, since=timedelta(hours=1)).backwards()
    ]

    assert [found for part, _ in parts for found in part] == [0, 5, 40]
    starts = [read_from for _, read_from in parts if read_from]
    assert starts == sorted(starts, reverse=True)
    assert starts[-1] < now - timedelta(minutes=59)


def test_an_older_event_is_searched_in_cloud_logging_and_the_answer_says_where(cloud: CloudLogging) -> None:
    took_in(cloud, line(9, time=datetime.now(UTC) - timedelta(days=3)))
    reading = Reading(cloud_lines(cloud, since=timedelta(hours=1)), EventIndex())

    searched = reading.searched(EventFilter(order_id="ORD-9"))

    assert [record.order_id for record in searched.index.records(EventFilter())] == ["ORD-9"]
    assert searched.place == "Cloud Logging of the project test-relay, as far back as it keeps lines"
    assert reading.searched(EventFilter(order_id="ORD-9")) is searched


def test_what_a_url_names_is_a_value_in_the_search_and_no_part_of_its_query(cloud: CloudLogging) -> None:
    took_in(cloud, line(9, time=datetime.now(UTC)))
    hostile = '" OR labels.order_id="ORD-9'
    source = cloud_lines(cloud, since=timedelta(hours=1))

    for wanted in (EventFilter(event_id=hostile), EventFilter(order_id=hostile), EventFilter(trace_id=hostile)):
        assert source.search(wanted) == []


def test_lines_that_come_later_are_in_the_index_once(cloud: CloudLogging) -> None:
    lines = cloud_lines(cloud, since=timedelta(minutes=2))
    lines.look_seconds = 0.05
    reading = Reading(lines, EventIndex()).start()
    wait_until(lambda: reading.is_complete, within=20)

    took_in(cloud, line(1, time=datetime.now(UTC)))

    wait_until(lambda: reading.index.extent.events == 1, within=20)
    asked = len(cloud.requests)
    wait_until(lambda: len(cloud.requests) > asked + 3, within=20)
    assert reading.index.extent.lines == 1
    reading.stop()


def test_a_source_that_cannot_be_read_is_told_and_tried_again(cloud: CloudLogging) -> None:
    cloud.is_forbidden = True
    reading = Reading(cloud_lines(cloud, since=timedelta(minutes=2)), EventIndex(), try_again_seconds=0.05).start()
    wait_until(lambda: "Permission denied" in reading.problem, within=20)

    cloud.is_forbidden = False

    wait_until(lambda: reading.is_complete and not reading.problem, within=20)
    reading.stop()
