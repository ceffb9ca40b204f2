"""The worker's limits fit each other, or it does not start."""

import pytest

from relay.errors import ConfigurationError
from relay.settings.worker import WorkerSettings
from relay.topology import (
    DEAD_LETTER_TOPIC_RETENTION_SECONDS,
    SUBSCRIPTION_RETENTION_SECONDS,
    TOPIC_RETENTION_SECONDS,
)

GIVEN = {"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_DEAD_LETTER_TOPIC": "dead", "PUSH_AUTH": "off"}


def test_a_completed_run_is_remembered_longer_than_anything_can_bring_its_event_back() -> None:
    longest_way_back = TOPIC_RETENTION_SECONDS + DEAD_LETTER_TOPIC_RETENTION_SECONDS + SUBSCRIPTION_RETENTION_SECONDS

    settings = WorkerSettings.from_environ(GIVEN)

    assert settings.retention_seconds > longest_way_back
    assert settings.destinations.effect_retention_seconds > longest_way_back


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RETENTION_SECONDS", str(8 * 86_400)),
        ("EFFECT_RETENTION_SECONDS", str(8 * 86_400)),
        ("LEASE_SECONDS", "600"),
        ("HANDLER_BUDGET_SECONDS", "600"),
        ("MAX_OVERDUE_RUNS", "0"),
    ],
)
def test_a_limit_that_does_not_fit_the_others_stops_the_start(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        WorkerSettings.from_environ({**GIVEN, variable: value})
