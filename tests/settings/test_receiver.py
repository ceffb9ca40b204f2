"""The receiver's settings are checked together, and each problem is named."""

from datetime import UTC, datetime, timedelta

import pytest

from relay.errors import ConfigurationError
from relay.settings.receiver import ReceiverSettings

GOOD = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_TOPIC": "events", "ONESTOCK_HASH_KEYS": "a-test-key"}
FAR_AHEAD = (datetime.now(UTC) + timedelta(days=15)).isoformat()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"GOOGLE_CLOUD_PROJECT": " "}, "GOOGLE_CLOUD_PROJECT is not set"),
        ({"PUBSUB_TOPIC": "a/b/!"}, "PUBSUB_TOPIC: is not a Pub/Sub name"),
        ({"PUBSUB_EMULATOR_HOST": "http://127.0.0.1"}, "PUBSUB_EMULATOR_HOST: is not host:port"),
        ({"ONESTOCK_HASH_KEYS": " , "}, "ONESTOCK_HASH_KEYS: missing"),
        ({"ONESTOCK_SIGNATURE": "off", "K_SERVICE": "r"}, "ONESTOCK_SIGNATURE: off is refused on Cloud Run"),
        ({"ONESTOCK_SIGNATURE": "record", "K_SERVICE": "r"}, "ONESTOCK_RECORD_UNTIL: missing"),
        ({"ONESTOCK_SIGNATURE": "record", "ONESTOCK_RECORD_UNTIL": FAR_AHEAD}, "more than 14 days ahead"),
        ({"ONESTOCK_SIGNATURE_TOLERANCE": "nan"}, "ONESTOCK_SIGNATURE_TOLERANCE"),
        ({"PUBLISH_BUDGET_SECONDS": "15"}, "PUBLISH_BUDGET_SECONDS"),
        ({"MAX_BYTES_UNDER_WAY": "1000000"}, "MAX_BYTES_UNDER_WAY: below twice MAX_BODY_BYTES"),
        ({"RECEIVER_THREADS": "80"}, "must be above MAX_WAITING_PUBLISHES"),
        ({"LOG_CONTENT": "some"}, "LOG_CONTENT"),
    ],
)
def test_a_wrong_setting_is_named_on_one_line_without_its_value(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ReceiverSettings.from_environ(GOOD | wrong)

    assert named in str(caught.value)
    assert "a-test-key" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_recording_that_has_ended_does_not_stop_the_start() -> None:
    environ = {**GOOD, "ONESTOCK_SIGNATURE": "record", "ONESTOCK_RECORD_UNTIL": "2020-01-01T00:00:00Z"}

    assert ReceiverSettings.from_environ(environ).record_until is not None


def test_full_names_are_taken_as_short_ones_are() -> None:
    settings = ReceiverSettings.from_environ({**GOOD, "PUBSUB_TOPIC": "projects/p/topics/events"})

    assert settings.topic_path == "projects/p/topics/events"
    assert "a-test-key" not in repr(settings)
