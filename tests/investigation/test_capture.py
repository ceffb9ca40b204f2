"""A captured webhook is read, whatever the form in which it was written down."""

import base64
import json

import pytest

from relay.errors import CaptureError
from relay.investigation.capture import read_captures
from relay.investigation.diagnosis import Capture

SIGNATURE = ("Onestock-Signature", "t=1,h0=ab")
BODY = b'{"a": 1}\r\n\r\n'
LOGGED = {"line": "webhook", "time": "2026-01-01T00:00:00Z", "signature_header": "t=1,h0=ab"}


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("first", [b"POST /webhooks/onestock/x HTTP/1.1", b"Host: x"])
def test_a_raw_request_is_read(line_end: bytes, first: bytes) -> None:
    [capture] = read_captures(line_end.join([first, b"Onestock-Signature: t=1,h0=ab", b"", BODY]))

    assert capture.headers[-1] == SIGNATURE
    assert capture.body == BODY


def test_a_raw_request_ends_where_its_length_says() -> None:
    [capture] = read_captures(b"Onestock-Signature: t=1,h0=ab\r\nContent-Length: 3\r\n\r\n{ }\n")

    assert capture.body == b"{ }"


@pytest.mark.parametrize(
    "body", [{"body": BODY.decode()}, {"body_base64": base64.b64encode(BODY).decode()}], ids=["text", "base64"]
)
@pytest.mark.parametrize("headers", [dict([SIGNATURE]), [list(SIGNATURE)]], ids=["mapping", "pairs"])
def test_a_json_object_is_read(headers: object, body: dict[str, str]) -> None:
    assert read_captures(json.dumps({"headers": headers, **body}).encode()) == [
        Capture(headers=(SIGNATURE,), body=BODY)
    ]


def test_log_lines_are_read_and_others_passed_over() -> None:
    lines = [
        json.dumps({**LOGGED, "content": BODY.decode(), "body_bytes": len(BODY)}),
        "Traceback (most recent call last):",
        json.dumps({"line": "webhook", "time": "2026-01-01T00:00:00Z", "content": "not refused"}),
        json.dumps({**LOGGED, "content_base64": base64.b64encode(b"\xff").decode(), "body_bytes": 1}),
    ]

    captures = read_captures("\n".join(lines).encode())

    assert [capture.body for capture in captures] == [BODY, b"\xff"]
    assert {capture.headers for capture in captures} == {(SIGNATURE,)}
    assert all(capture.body_is_whole for capture in captures)


def test_entries_of_cloud_logging_are_read() -> None:
    payload = {"line": "webhook", "signature_header": "t=1,h0=ab", "content": "{}"}
    entries = [{"timestamp": "2026-01-01T00:00:00Z", "jsonPayload": payload}]

    assert read_captures(json.dumps(entries, indent=2).encode())[0].body == b"{}"


@pytest.mark.parametrize(
    "more", [{"content": "{", "body_bytes": 8}, {"content": {"masked": "***"}, "body_bytes": 20}, {"body_bytes": 12}]
)
def test_a_body_that_the_log_has_cut_or_masked_is_not_whole(more: dict[str, object]) -> None:
    assert not read_captures(json.dumps({**LOGGED, **more}).encode())[0].body_is_whole


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no webhook with its headers"),
        (b"just some text", "no webhook with its headers"),
        (b'{"headers": {"a": "b"}}', "give the body as"),
        (b'{"headers": {"a": "b"}, "body_base64": "!"}', "not base64"),
        (b"Host: x\nTransfer-Encoding: chunked\n\n0\n\n", "in chunks"),
    ],
)
def test_what_holds_no_webhook_is_told(data: bytes, told: str) -> None:
    with pytest.raises(CaptureError, match=told):
        read_captures(data)
