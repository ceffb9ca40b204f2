"""Each line is one JSON object that Cloud Logging takes, names its event, and holds no more of a body than it may."""

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from relay import logs
from relay.settings.base import LogContent
from relay.tracing import Trace

TRACE = Trace(trace_id="a" * 32, span_id="b" * 16, sampled=True)
LABELS = {"event_id": "e1", "order_id": "ORD-1"}
ABOUT_EVENT = logs.LogContext(trace=TRACE, labels=LABELS)
CLOUD_LOGGING_LIMIT = 256 * 1024

shop = logging.getLogger("shop")


class Lines:
    """What was logged so far."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line, parse_constant=_refuse) for line in self.stream.getvalue().splitlines()]

    def last(self) -> dict[str, Any]:
        return self.all()[-1]


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root, gunicorn = logging.getLogger(), logging.getLogger("gunicorn.error")
    kept = root.handlers[:], root.level, gunicorn.handlers[:], gunicorn.propagate
    yield root
    root.handlers[:], root.level, gunicorn.handlers[:], gunicorn.propagate = kept


@pytest.fixture
def lines(root: logging.Logger) -> Lines:
    lines = Lines()
    logs.configure(project="p", service="receiver", stream=lines.stream)
    assert root.handlers
    return lines


def test_a_line_has_its_time_severity_message_and_place(lines: Lines) -> None:
    before = datetime.now(UTC)

    shop.warning("order %s is late", "ORD-1", extra={"json_fields": {"days": 2}})

    line = lines.last()
    assert (line["severity"], line["message"], line["days"]) == ("WARNING", "order ORD-1 is late", 2)
    assert abs((datetime.fromisoformat(line["time"]) - before).total_seconds()) < 5
    assert line["logging.googleapis.com/sourceLocation"]["file"] == __file__


def test_a_line_carries_the_labels_and_the_trace_of_its_event(lines: Lines) -> None:
    with logs.logging_as(ABOUT_EVENT):
        shop.info("refunded", extra={"labels": {"order_id": "ORD-2", "refund": 7}})
    shop.info("afterwards")

    of_event, afterwards = lines.all()
    marks = {"service": "receiver", "python_logger": "shop"}
    assert of_event[logs.LABELS] == {**marks, "event_id": "e1", "order_id": "ORD-2", "refund": "7"}
    assert of_event["logging.googleapis.com/trace"] == f"projects/p/traces/{TRACE.trace_id}"
    assert of_event["logging.googleapis.com/spanId"] == TRACE.span_id
    assert of_event["logging.googleapis.com/trace_sampled"] is True
    assert (afterwards[logs.LABELS], afterwards["logging.googleapis.com/trace"]) == (marks, "")


def test_a_canonical_line_has_its_fields_beside_the_message(lines: Lines) -> None:
    request = {"requestMethod": "POST", "status": 202}

    logs.write(shop, logging.INFO, "100 % done", context=ABOUT_EVENT, fields={"line": "x"}, http_request=request)

    line = lines.last()
    assert (line["message"], line["line"], line["httpRequest"]) == ("100 % done", "x", request)
    assert line["logging.googleapis.com/sourceLocation"]["file"] == __file__
    assert line[logs.LABELS]["event_id"] == "e1"


def test_an_exception_is_part_of_the_message(lines: Lines) -> None:
    try:
        LABELS["no_such_label"]
    except KeyError:
        shop.exception("cannot read")

    line = lines.last()
    assert line["severity"] == "ERROR"
    assert line["message"].startswith("cannot read\nTraceback")
    assert "KeyError: 'no_such_label'" in line["message"]


class HoldsItself:
    def __str__(self) -> str:
        return "an object"


CIRCLE: dict[str, Any] = {}
CIRCLE["self"] = CIRCLE


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("half a pair \ud83d", "half a pair ?"),
        (HoldsItself(), "an object"),
        ({1: {2}, (3, 4): [5]}, {"1": [2], "(3, 4)": [5]}),
        ([float("nan"), float("inf"), 1.5], ["nan", "inf", 1.5]),
        (b"\xff", "b'\\xff'"),
    ],
)
def test_no_value_breaks_a_line(lines: Lines, value: object, written: object) -> None:
    shop.info("value %s", "x", extra={"json_fields": {"value": value}})

    assert (lines.last()["message"], lines.last()["value"]) == ("value x", written)


def test_a_value_that_holds_itself_breaks_no_line(lines: Lines) -> None:
    shop.info("x", extra={"json_fields": {"value": CIRCLE}})

    assert lines.last()["message"] == "x"


@pytest.mark.parametrize(
    ("text", "fields", "labels"),
    [
        ("x" * 1_000_000, {}, {}),
        ("\x01" * 1_000_000, {"kept": 1}, {}),
        ("é" * 300_000, {"kept": 1, "long": "y" * 400_000}, {}),
        ("short", {"kept": 1, **{f"field-{n}": "\x01" * 300 for n in range(2_000)}}, {}),
        ("short", {"kept": 1, "long": "y" * 300_000}, {f"label-{n}": "z" * 100_000 for n in range(20)}),
    ],
)
def test_no_line_is_larger_than_cloud_logging_takes(
    lines: Lines, text: str, fields: dict[str, Any], labels: dict[str, str]
) -> None:
    shop.info(text, extra={"json_fields": {"event_id": "e1", **fields}, "labels": labels})

    assert len(lines.stream.getvalue().encode()) < CLOUD_LOGGING_LIMIT
    assert lines.last()["message"].startswith(text[:5])
    assert lines.last()["event_id"] == "e1"
    assert lines.last().get("kept", 1) == 1


def test_threads_write_whole_lines(lines: Lines) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: shop.info("x" * 1_000, extra={"json_fields": {"number": number}}), range(500)))

    assert sorted(line["number"] for line in lines.all()) == list(range(500))


def test_nothing_but_the_root_logger_and_gunicorns_is_changed(root: logging.Logger) -> None:
    before = (
        logging.raiseExceptions,
        logging.getLoggerClass(),
        logging.getLogRecordFactory(),
        shop.level,
        shop.handlers,
    )

    logs.configure(project="p", service="worker", stream=io.StringIO())

    assert before == (
        logging.raiseExceptions,
        logging.getLoggerClass(),
        logging.getLogRecordFactory(),
        shop.level,
        shop.handlers,
    )
    assert logging.root.manager.disable == 0
    assert root.level == logging.INFO


def test_a_stream_that_is_gone_does_not_fail_the_request(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    lines.stream.close()

    shop.info("x")

    assert "I/O operation on closed file" in capsys.readouterr().err


PERSON = {
    "id": "1",
    "order_id": "ORD-1",
    "new_state": "placed",
    "customer": {"name": "Ada Invented", "id": "C-1", "emails": ["ada@example.com"]},
    "ada@example.com": True,
    "quantity": 2,
    "total": 99.5,
}


def test_redacted_content_keeps_names_ids_and_states_and_masks_the_rest() -> None:
    fields = logs.content_fields(json.dumps(PERSON).encode(), LogContent.REDACTED, verified=True)

    assert fields == {
        "content": {
            "id": "1",
            "order_id": "ORD-1",
            "new_state": "placed",
            "customer": {"name": "***", "id": "C-1", "emails": ["***"]},
            "***": "***",
            "quantity": 2,
            "total": "***",
        }
    }


@pytest.mark.parametrize("body", [b"Ada Invented", b"\xff", b"[" * 100_000, b'{"id": NaN}', b'"Ada"', b"1" * 200_000])
def test_redacted_content_holds_nothing_of_what_it_cannot_read(body: bytes) -> None:
    fields = logs.content_fields(body, LogContent.REDACTED, verified=True)

    assert fields["content"] in {f"{len(body)} bytes", f"{len(body)} bytes that are not JSON", "***"}


def test_content_that_is_off_is_not_there() -> None:
    assert logs.content_fields(b"{}", LogContent.OFF, verified=True) == {}


def test_what_is_not_verified_leaves_at_most_a_few_kilobytes_in_any_mode() -> None:
    body = json.dumps({"order_id": "x" * 20_000}).encode()

    full, redacted = (
        logs.content_fields(body, mode, verified=False) for mode in (LogContent.FULL, LogContent.REDACTED)
    )

    assert full == {"content": body.decode()[:8_000], "content_truncated": True}
    assert redacted == {"content": f"{len(body)} bytes"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "' + b"x" * 149_000 + b'"}',
        b'"' * 149_000,
        b"\x01" * 149_000,
        b"\xff" * 149_000,
        b"[" + b"1," * 74_000 + b"1]",
    ],
    ids=["letters", "quotes", "control characters", "no text", "many values"],
)
@pytest.mark.parametrize("mode", [LogContent.FULL, LogContent.REDACTED])
def test_the_content_of_a_large_body_fits_into_its_line(lines: Lines, body: bytes, mode: LogContent) -> None:
    fields = logs.content_fields(body, mode, verified=True)

    logs.write(shop, logging.INFO, "x", context=ABOUT_EVENT, fields=fields, http_request={})

    assert {name: lines.last()[name] for name in fields} == fields
    assert len(lines.stream.getvalue().encode()) < CLOUD_LOGGING_LIMIT


def fail(text: str) -> None:
    raise ValueError(text)


def mask(text: str, body: Any, mode: LogContent = LogContent.REDACTED) -> str:
    return logs.masking(json.dumps(body).encode(), mode)(text)


def test_what_a_traceback_quotes_of_the_body_is_masked_but_for_ids_and_states(lines: Lines) -> None:
    context = logs.LogContext(
        trace=TRACE, labels=LABELS, mask=logs.masking(json.dumps(PERSON).encode(), LogContent.OFF)
    )

    with logs.logging_as(context):
        try:
            fail("ORD-1 of Ada Invented <ada@example.com> is placed")
        except ValueError:
            shop.exception("cannot read")

    assert lines.last()["message"].startswith("cannot read\nTraceback")
    assert lines.last()["message"].endswith("ValueError: ORD-1 of *** <***> is placed")


@pytest.mark.parametrize(
    ("body", "text", "masked"),
    [
        ({"phone": 33612345678}, "no call to 33612345678", "no call to ***"),
        ({"a": "Ada", "b": "Ada Invented"}, "Ada Invented", "***"),
        ({"note": "x"}, "exit", "exit"),
        ([f"value {number}" for number in range(3_000)], "anything", "*** (LOG_CONTENT=redacted)"),
    ],
)
def test_values_are_masked_wherever_they_are_quoted(body: Any, text: str, masked: str) -> None:
    assert mask(text, body) == masked
    assert mask(text, body, LogContent.FULL) == text
