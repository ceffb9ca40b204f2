"""What the log holds of a body: proven by the event's id, shown within bounds, and never an error."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import logs
from relay.events import event_id_of
from relay.investigation.entries import Entry
from relay.investigation.payload import MAX_SHOWN, Completeness, Payload
from relay.settings.base import LogContent
from tests.support.entries import START, delivery

MODES = st.sampled_from(LogContent)


def line_of(body: bytes, mode: LogContent = LogContent.FULL, **more: Any) -> Entry:
    """Return the receiver's line, as it is read again from a file."""
    labels = {"event_id": event_id_of("invented", body)}
    fields = {"line": "webhook", "event_type": "invented", "body_bytes": len(body), **more}
    fields |= logs.content_fields(body, mode, verified=True)
    return Entry(time=START, fields=json.loads(json.dumps(fields)), labels=labels, severity="INFO")


@given(body=st.binary() | st.text().map(lambda text: json.dumps({"id": text}).encode()), mode=MODES)
def test_a_body_counts_as_whole_only_if_it_is_the_one_that_came(body: bytes, mode: LogContent) -> None:
    payload = Payload.of([line_of(body, mode)])

    assert payload.is_whole == (payload.body == body and payload.completeness is Completeness.WHOLE)
    assert payload.is_whole or mode is not LogContent.FULL
    assert not payload.is_whole or payload.missing == ""
    payload.text.encode()


def test_a_mask_as_long_as_the_body_does_not_stand_for_it() -> None:
    body = b"26 bytes, and no JSON here"
    payload = Payload.of([line_of(body, LogContent.REDACTED)])

    assert (payload.body, len(payload.body)) == (b"26 bytes that are not JSON", len(body))
    assert payload.completeness is Completeness.CUT


@pytest.mark.parametrize(
    ("body", "mode", "expected"),
    [
        (b'{"id": "1", "name": "x"}', LogContent.REDACTED, Completeness.MASKED),
        (b'"%s"' % (b"x" * 200_000), LogContent.FULL, Completeness.CUT),
        (b"\xff" * 200_000, LogContent.FULL, Completeness.CUT),
        (b'"%s"' % (b"x" * 200_000), LogContent.REDACTED, Completeness.CUT),
        (b"{}", LogContent.OFF, Completeness.ABSENT),
        (b"\xff\x00", LogContent.FULL, Completeness.WHOLE),
        (b"", LogContent.FULL, Completeness.WHOLE),
    ],
)
def test_it_is_known_how_much_is_there(body: bytes, mode: LogContent, expected: Completeness) -> None:
    payload = Payload.of([line_of(body, mode)])

    assert payload.completeness is expected
    assert (payload.missing == "") == (expected is Completeness.WHOLE)


def test_of_several_lines_the_one_that_holds_the_most_counts_and_without_any_nothing_is_there() -> None:
    body = b'{"id": "1"}'

    assert Payload.of([line_of(body, LogContent.OFF), line_of(body)]).body == body
    assert Payload.of([delivery(1)]).completeness is Completeness.ABSENT
    assert Payload.of([line_of(b"x", LogContent.OFF, content_base64="no base64")]).completeness is Completeness.ABSENT


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 700 + b"1," * 70_000 + b"1" + b"]" * 700,
        b"[" * 75_000 + b"]" * 75_000,
        b"[" + b"[]," * 49_000 + b"[]]",
        b'{"a": "%s"}' % (b"\\ud800" * 20_000),
        b'"%s"' % (b"x" * 149_000),
    ],
)
def test_a_body_that_would_grow_without_bound_is_shown_within_its_bound_at_once(body: bytes) -> None:
    payload = Payload.of([line_of(body)])
    began = time.monotonic()

    text = payload.text

    assert len(text) <= MAX_SHOWN
    assert time.monotonic() - began < 5
