"""Files and Cloud Logging are searched by the same filter: what one finds, the other finds."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.logging import Client
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.lines import LineFiles
from relay.investigation.answers import events_answer, failures_answer, trace_answer
from relay.investigation.cloud_logging import CloudLog
from relay.investigation.entries import Entry
from relay.investigation.history import Whereabouts
from relay.investigation.records import EventFilter
from relay.investigation.search import FAILED, LineFilter, has_failed, meanings_of
from tests.support.cloud_logging import CloudLogging
from tests.support.log_entries import entry_of
from tests.support.log_filter import compiled

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
LABELS, TRACE = "logging.googleapis.com/labels", "logging.googleapis.com/trace"
FOLLOW = "handlers.orders.follow_order"


def id_of(number: int) -> str:
    return f"{number:064x}"


def line(number: int, *, seconds: float, order_id: str = "ORD-1", **fields: Any) -> dict[str, Any]:
    labels = {"event_id": id_of(number), "event_type": "order_state_changed", "order_id": order_id}
    time = (START + timedelta(seconds=seconds)).isoformat()
    return {"time": time, LABELS: labels, TRACE: f"projects/test-relay/traces/{number:032x}", **fields}


def webhook(number: int, *, seconds: float, order_id: str = "ORD-1") -> dict[str, Any]:
    return line(number, seconds=seconds, order_id=order_id, line="webhook", outcome="published", status=202)


def delivery(number: int, outcome: str, *, seconds: float, reason: str = "", order_id: str = "ORD-1") -> dict[str, Any]:
    runs = [{"name": FOLLOW, "outcome": outcome, "reason": reason}]
    status = 204 if outcome in ("handled", "quarantined") else 503
    return line(
        number, seconds=seconds, order_id=order_id, line="delivery", outcome=outcome, status=status, handlers=runs
    )


REFUSED = {
    "time": START.isoformat(),
    "line": "webhook",
    "outcome": "refused",
    "status": 401,
    "reason": "no signature",
    LABELS: {"event_type": "order_state_changed"},
}
LINES = [
    REFUSED,
    webhook(1, seconds=1),
    delivery(1, "failed", seconds=2, reason="no sku 7"),
    line(1, seconds=2.5, message="looked for the sku"),
    delivery(1, "handled", seconds=70),
    webhook(2, seconds=3, order_id="ORD-2"),
    delivery(2, "quarantined", seconds=4, reason="no sku 8", order_id="ORD-2"),
    webhook(3, seconds=5, order_id="ORD-2"),
    delivery(3, "handled", seconds=6, order_id="ORD-2"),
    webhook(4, seconds=80),
]


@pytest.fixture
def cloud_logging() -> Iterator[CloudLogging]:
    with CloudLogging(list(map(seen, LINES))).running() as running:
        yield running


@pytest.fixture(params=["files", "cloud"])
def source(request: pytest.FixtureRequest, cloud_logging: CloudLogging, tmp_path: Path) -> LineFiles | CloudLog:
    if request.param == "files":
        file = tmp_path / "services.log"
        file.write_text("\n".join(map(json.dumps, LINES)))
        return LineFiles([str(file)])
    return cloud_log(cloud_logging)


def seen(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line as Cloud Logging holds it."""
    return entry_of(json.dumps(line), service="onestock-worker", project="test-relay")


def cloud_log(cloud_logging: CloudLogging) -> CloudLog:
    options = {"api_endpoint": cloud_logging.url}
    return CloudLog(
        Client(project="test-relay", credentials=AnonymousCredentials(), _use_grpc=False, client_options=options)
    )


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (EventFilter(order_id="ORD-2"), [3, 2]),
        (EventFilter(event_id=id_of(1)), [1]),
        (EventFilter(trace_id=f"{3:032x}"), [3]),
        (EventFilter(event_type="parcel_state_changed"), []),
        (EventFilter(reason="NO SKU"), [2]),
        (EventFilter(handler=FOLLOW), [3, 2, 1]),
        (EventFilter(until=START + timedelta(seconds=4)), [2, 1]),
    ],
)
def test_a_filter_finds_its_events_newest_first(
    source: LineFiles | CloudLog, wanted: EventFilter, numbers: list[int]
) -> None:
    answer = events_answer(source, wanted, since=START, limit=10)

    assert [event["event_id"] for event in answer["events"] if event["event_id"]] == list(map(id_of, numbers))
    assert answer["searched"]["source"] == str(source)


def test_lines_after_a_time_range_tell_where_its_events_are(source: LineFiles | CloudLog) -> None:
    until = START + timedelta(seconds=3)

    answer = events_answer(source, EventFilter(order_id="ORD-1", until=until), since=START, limit=10)

    assert [(event["whereabouts"], event["attempts"]) for event in answer["events"]] == [("handled", 2)]


def test_what_the_limit_leaves_out_is_told(source: LineFiles | CloudLog) -> None:
    answer = events_answer(source, EventFilter(order_id="ORD-1"), since=START, limit=1)

    assert ([event["event_id"] for event in answer["events"]], answer["has_older"]) == ([id_of(4)], True)


def test_failures_of_a_time_range_tell_what_failed_in_it_and_where_that_is_now(source: LineFiles | CloudLog) -> None:
    answer = failures_answer(source, since=START, until=START + timedelta(seconds=60))

    (group,) = answer["handlers"]
    assert (group["handler"], group["reason"], group["times"]) == (FOLLOW, "no sku #", 2)
    assert group["whereabouts"] == {"handled": 1, "dead letter": 1}
    assert [group["reason"] for group in answer["webhooks"]] == ["no signature"]
    assert (answer["deliveries"], answer["events"], answer["pushes"]) == (2, 2, [])


def test_the_newest_events_are_found_without_reading_a_whole_day(cloud_logging: CloudLogging) -> None:
    now = datetime.now(UTC)
    cloud_logging.entries = [
        seen({**one, "time": (now - timedelta(minutes=ago)).isoformat()})
        for number in range(100)
        for one, ago in (
            (webhook(number, seconds=0), number * 10 + 8),
            (delivery(number, "handled", seconds=0), number * 10),
        )
    ]

    answer = events_answer(cloud_log(cloud_logging), EventFilter(), since=now - timedelta(days=1), limit=3)

    assert [(event["event_id"], event["attempts"]) for event in answer["events"]] == [(id_of(n), 1) for n in range(3)]
    assert answer["has_older"]
    oldest = min(re.findall(r'timestamp>="([^"]+)"', cloud_logging.requests[-1]["filter"]))
    assert now - datetime.fromisoformat(oldest) < timedelta(hours=2)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (EventFilter(whereabouts=Whereabouts.DEAD_LETTER), [2]),
        (EventFilter(whereabouts=Whereabouts.BEING_RETRIED), []),
        (EventFilter(reason="NO SKU"), [2]),
    ],
)
def test_events_that_failed_are_found_without_reading_what_went_well(
    cloud_logging: CloudLogging, wanted: EventFilter, numbers: list[int]
) -> None:
    answer = events_answer(cloud_log(cloud_logging), wanted, since=START, limit=3)

    assert [event["event_id"] for event in answer["events"]] == list(map(id_of, numbers))
    read = [one for asked in cloud_logging.requests for one in LINES if compiled(asked["filter"])(seen(one))]
    assert id_of(3) not in {one[LABELS].get("event_id") for one in read}


def test_failures_read_no_line_of_what_went_well(cloud_logging: CloudLogging) -> None:
    failures_answer(cloud_log(cloud_logging), since=START)

    failed, their_events = (asked["filter"] for asked in cloud_logging.requests)
    assert [line["status"] for line in LINES if "status" in line and compiled(failed)(seen(line))] == [401, 503, 204]
    assert [id_of(number) in their_events for number in (1, 2, 3, 4)] == [True, True, False, False]


@pytest.mark.parametrize(
    "wanted", [LineFilter(event_id=id_of(1)), LineFilter(trace_id=f"{1:032x}"), LineFilter(order_id="ORD-1")]
)
def test_an_events_way_has_what_its_handlers_logged(source: LineFiles | CloudLog, wanted: LineFilter) -> None:
    way = trace_answer(source, wanted, since=START)["events"][0]

    assert [step["name"] for step in way["steps"]] == ["received", "delivered", "log", "delivered"]


REASON = st.sampled_from(["SKU", "no sku 7", "signature"])
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


@given(
    wanted=st.builds(LineFilter, order_id=TEXT, event_id=TEXT, event_type=TEXT, reason=TEXT | REASON),
    shown=st.sampled_from(LINES),
    is_named=st.booleans(),
)
def test_cloud_loggings_language_says_what_files_are_searched_for(
    wanted: LineFilter, shown: dict[str, Any], *, is_named: bool
) -> None:
    labels = {"order_id": wanted.order_id, "event_id": f"{wanted.event_id}9", "event_type": wanted.event_type}
    shown = {**shown, LABELS: labels} if is_named else shown
    entry = Entry.from_line(shown)
    assert entry is not None

    conditions = wanted.conditions()

    matches = not conditions or compiled(" AND ".join(conditions))(seen(shown))
    assert bool(matches) == wanted.fits(entry)


@pytest.mark.parametrize("shown", LINES)
def test_cloud_loggings_language_says_what_has_failed(shown: dict[str, Any]) -> None:
    entry = Entry.from_line(shown)
    assert entry is not None

    assert has_failed(entry) == bool(compiled(FAILED)(seen(shown)))


def test_a_searched_text_means_an_order_first_and_then_what_it_looks_like() -> None:
    assert meanings_of("ORD-1") == [EventFilter(order_id="ORD-1"), EventFilter(reason="ORD-1")]
    assert EventFilter(event_id="abcdef") in meanings_of("ABCDEF")
    assert EventFilter(trace_id="a" * 32) in meanings_of("A" * 32)
