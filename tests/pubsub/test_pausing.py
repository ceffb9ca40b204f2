"""A pause is kept in labels that Pub/Sub allows, and comes back from them exactly."""

import re
from datetime import UTC, datetime

import pytest
from google.pubsub_v1 import PushConfig

from relay.errors import PubSubError
from relay.pubsub.pausing import MAX_REASON_LENGTH, Pause

# Source: "Requirements for labels" (Google Cloud documentation).
KEY, VALUE, MOST_LABELS = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}"), 64
LONGEST_URL, LONGEST_EMAIL = "https://" + "w" * 63 + "-123456789012.europe-west1.run.app/pubsub/push", "p" * 100


def pause(reason: str) -> Pause:
    token = PushConfig.OidcToken(service_account_email=LONGEST_EMAIL, audience=LONGEST_URL)
    unwrapped = PushConfig.NoWrapper(write_metadata=True)
    config = PushConfig(
        push_endpoint=LONGEST_URL, attributes={"x-goog-version": "v1"}, oidc_token=token, no_wrapper=unwrapped
    )
    return Pause(since=datetime(2026, 1, 31, 9, 30, tzinfo=UTC), reason=reason, push_config=config)


@pytest.mark.parametrize("reason", ["repair", 'Größe "1"\n', "ü" * MAX_REASON_LENGTH])
def test_a_pause_comes_back_from_its_labels(reason: str) -> None:
    labels = pause(reason).labels

    assert Pause.of_labels(dict(reversed(labels.items())), "topic") == pause(reason)
    assert labels["paused-since"] == "2026-01-31t09-30-00z"


def test_pubsub_allows_the_labels() -> None:
    labels = pause("ü" * MAX_REASON_LENGTH * 2).labels

    assert len(labels) <= MOST_LABELS
    assert all(KEY.fullmatch(key) and VALUE.fullmatch(value) for key, value in labels.items())


@pytest.mark.parametrize("labels", [{}, {"pause-00": "aaaa"}, {"pause-00": "1"}, {"pause-00": "pn6q"}])
def test_labels_without_a_pause_are_told_in_one_line(labels: dict[str, str]) -> None:
    with pytest.raises(PubSubError, match="hold no push configuration"):
        Pause.of_labels(labels, "topic")
