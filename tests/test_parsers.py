"""Whatever arrives is read, or refused with the one error that is meant for it."""

import contextlib
import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import CaptureError, EnvelopeError, SignatureError, UnreadableContent
from relay.events import Delivery, read_content
from relay.investigation.capture import read_captures
from relay.investigation.diagnosis import Capture, diagnose
from relay.message import MAX_ATTRIBUTE_BYTES, MAX_ORDERING_KEY_BYTES, Message
from relay.receiver.signature import sign, verify
from relay.settings.receiver import SignedString
from relay.tracing import Trace
from relay.worker import push

NOW = datetime(2025, 1, 1, tzinfo=UTC)
T = 1735689600
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
ROUTED = st.fixed_dictionaries({}, optional={"order_id": JSON, "topic": JSON, "other": JSON})
BODIES = st.binary(max_size=300) | ROUTED.map(lambda value: json.dumps(value).encode())
KEYS = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=3)
SIGNED_STRINGS = st.sampled_from(SignedString)

many = settings(max_examples=5 * settings().max_examples, deadline=None, derandomize=True)


def is_accepted(header: str, body: bytes, keys: list[bytes], signed_string: SignedString) -> bool:
    try:
        verify(header, body, keys=keys, signed_string=signed_string, tolerance_seconds=60, now=T)
    except SignatureError:
        return False
    return True


@many
@given(header=st.text(), body=BODIES, keys=KEYS, signed_string=SIGNED_STRINGS)
def test_no_random_header_is_accepted_or_breaks_the_check(
    header: str, body: bytes, keys: list[bytes], signed_string: SignedString
) -> None:
    assert not is_accepted(header, body, keys, signed_string)


@many
@given(
    parts=st.lists(
        st.tuples(st.sampled_from(["t", "h0", "h1", "h2", "h3", ""]), st.text(max_size=70) | st.just(str(T))),
        max_size=6,
    ),
    separator=st.sampled_from(".,;"),
)
def test_no_header_made_of_plausible_parts_is_accepted(parts: list[tuple[str, str]], separator: str) -> None:
    header = separator.join(f"{name}={value}" for name, value in parts)

    assert not is_accepted(header, b"{}", [b"key"], SignedString.TIMESTAMP_BODY)


@many
@given(body=BODIES, keys=KEYS, signed_string=SIGNED_STRINGS, separator=st.sampled_from(".,"))
def test_what_onestock_signs_is_accepted(
    body: bytes, keys: list[bytes], signed_string: SignedString, separator: str
) -> None:
    header = sign(body, keys=keys, timestamp=T, signed_string=signed_string, separator=separator)

    assert is_accepted(header, body, keys[-1:], signed_string)


@many
@given(body=st.binary(min_size=1, max_size=100), place=st.integers(0), change=st.integers(1, 255))
def test_a_body_changed_in_one_byte_is_refused(body: bytes, place: int, change: int) -> None:
    header = sign(body, keys=[b"key"], timestamp=T, signed_string=SignedString.TIMESTAMP_BODY)
    changed = bytearray(body)
    changed[place % len(body)] ^= change

    assert not is_accepted(header, bytes(changed), [b"key"], SignedString.TIMESTAMP_BODY)


@many
@given(body=BODIES, event_type=st.none() | st.just("order_state_changed"), content_type=st.text(max_size=1500))
def test_any_webhook_survives_the_way_to_the_worker(body: bytes, event_type: str | None, content_type: str) -> None:
    message = Message.from_webhook(
        body, event_type=event_type, content_type=content_type, received_at=NOW, traceparent=""
    )

    delivery = message.to_delivery(message_id="1", published_at=NOW, delivery_attempt=None, max_body_bytes=1_000)

    assert (delivery.body, delivery.event_id, delivery.received_at) == (body, message.event_id, NOW)
    assert all(len(value.encode()) <= MAX_ATTRIBUTE_BYTES for value in message.attributes.values())
    assert len(message.ordering_key.encode()) <= MAX_ORDERING_KEY_BYTES


@many
@given(body=st.binary(max_size=300))
def test_any_bytes_are_an_object_or_unreadable(body: bytes) -> None:
    try:
        content = read_content(body)
    except UnreadableContent:
        return

    assert isinstance(content, dict)


@many
@given(content=st.dictionaries(st.text(), JSON, max_size=6))
def test_any_json_object_is_read_as_it_was_written(content: dict[str, object]) -> None:
    body = json.dumps(content).encode()

    try:
        read = read_content(body)
    except UnreadableContent as error:
        assert "surrogate" in str(error) or "escape" in str(error)  # noqa: PT017 - half a character is not text
        return

    assert read == json.loads(body)


@many
@given(
    body=st.binary(max_size=300)
    | st.fixed_dictionaries(
        {"message": st.fixed_dictionaries({"messageId": JSON}, optional={"data": JSON, "attributes": JSON})},
        optional={"subscription": JSON, "deliveryAttempt": JSON},
    ).map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(st.sampled_from([push.MESSAGE_ID_HEADER, "event-id", "generation"]), st.text()),
)
def test_any_push_is_a_delivery_or_no_push(body: bytes, headers: dict[str, str]) -> None:
    try:
        delivery = push.read(headers, body, max_body_bytes=1_000, now=NOW)
    except EnvelopeError:
        return

    assert isinstance(delivery, Delivery)


@many
@given(traceparent=st.text() | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"))
def test_any_traceparent_leads_to_a_valid_one(traceparent: str) -> None:
    trace = Trace.continued(traceparent)

    assert Trace.continued(trace.traceparent).trace_id == trace.trace_id


@many
@given(data=BODIES | st.text().map(str.encode))
def test_a_capture_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(CaptureError):
        assert read_captures(data)


@settings(many, max_examples=100)
@given(header=st.text(max_size=100), name=st.text(max_size=10), body=BODIES, keys=KEYS)
def test_no_random_header_is_diagnosed_or_breaks_the_diagnosis(
    header: str, name: str, body: bytes, keys: list[bytes]
) -> None:
    diagnosis = diagnose(Capture(headers=((name, header), ("Time", str(T))), body=body), keys)

    assert diagnosis.reading is None
