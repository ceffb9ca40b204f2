"""Record-only mode says how a refused webhook was signed, in bounded time, and ends when it was told to."""

import hmac
import logging
from datetime import UTC, datetime, timedelta

import pytest

from relay.errors import ConfigurationError, SignatureError
from relay.receiver.record import Recorder
from relay.settings.receiver import ReceiverSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = b"test-key"
BODY = b'{"order_id":"A-1"}'
HEADER = f"t=1735689600,h0={hmac.digest(KEY, BODY, 'sha1').hex()}"
REFUSAL = SignatureError("no configured hash key matches")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_reading_that_matches_is_named(clock: Clock) -> None:
    recorded = Recorder([KEY], until=None, now=clock).record(HEADER, BODY, REFUSAL)

    assert recorded.reading == "HMAC-SHA1 of 'body' in hex: h0 with key 1"
    assert recorded.severity == logging.WARNING


def test_a_missing_header_and_a_foreign_key_are_told(clock: Clock) -> None:
    recorder = Recorder([b"another"], until=None, now=clock)

    assert recorder.record(None, BODY, REFUSAL).reading == "none: no header Onestock-Signature"
    assert recorder.record(HEADER, BODY, REFUSAL).reading.startswith("none of ")


def test_one_webhook_a_second_is_searched_and_no_large_body_to_the_end(clock: Clock) -> None:
    recorder = Recorder([KEY], until=None, now=clock)

    searched = recorder.record(HEADER, BODY * 50_000, REFUSAL).reading
    flood = [recorder.record(HEADER, BODY, REFUSAL).reading for _ in range(3)]
    clock.now += timedelta(seconds=1)

    assert searched.startswith("none of the first ")
    assert set(flood) == {"not searched: one search a second"}
    assert "SHA1" in recorder.record(HEADER, BODY, REFUSAL).reading


def test_the_last_day_is_an_error_and_its_end_refuses(clock: Clock) -> None:
    recorder = Recorder([KEY], until=NOW + timedelta(days=2), now=clock)
    first = recorder.record(HEADER, BODY, REFUSAL)
    clock.now += timedelta(days=1, seconds=1)
    last = recorder.record(HEADER, BODY, REFUSAL)
    clock.now += timedelta(days=1)

    assert (first.severity, last.severity) == (logging.WARNING, logging.ERROR)
    with pytest.raises(SignatureError, match=r"matches; ONESTOCK_RECORD_UNTIL ended at 2026-01-03 00:00 UTC"):
        recorder.record(HEADER, BODY, REFUSAL)


def settings(**more: str) -> ReceiverSettings:
    given = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_TOPIC": "events", "ONESTOCK_HASH_KEYS": "a-test-key"}
    return ReceiverSettings.from_environ({**given, "ONESTOCK_SIGNATURE": "record", **more})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"K_SERVICE": "receiver"}, "ONESTOCK_RECORD_UNTIL: missing"),
        ({"ONESTOCK_RECORD_UNTIL": (datetime.now(UTC) + timedelta(days=15)).isoformat()}, "more than 14 days ahead"),
        ({"ONESTOCK_RECORD_UNTIL": "2026-01-01T00:00:00"}, "ONESTOCK_RECORD_UNTIL: .*timezone"),
        ({"ONESTOCK_HASH_KEYS": ""}, "ONESTOCK_HASH_KEYS: missing"),
    ],
)
def test_recording_without_an_end_or_a_key_is_refused(more: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        settings(**more)


def test_an_end_that_has_passed_starts_all_the_same() -> None:
    assert settings(K_SERVICE="receiver", ONESTOCK_RECORD_UNTIL="2026-01-01T00:00:00Z").signature == "record"
