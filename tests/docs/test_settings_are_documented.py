"""Each setting stands in `.env.example` with its default, and nothing else does."""

import re
from pathlib import Path

import pytest

from relay.errors import ConfigurationError
from relay.settings.commands import ToolSettings
from relay.settings.destinations import DestinationSettings
from relay.settings.doctor import DoctorSettings
from relay.settings.receiver import ReceiverSettings
from relay.settings.webhooks import WebhookSettings
from relay.settings.worker import WorkerSettings
from relay.worker.outcome import Outcome

ROOT = Path(__file__).parents[2]
READ_BY_GUNICORN = {"PORT"}


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_example_lists_every_setting_and_no_other() -> None:
    models = (ReceiverSettings, WorkerSettings, ToolSettings, WebhookSettings, DestinationSettings, DoctorSettings)
    fields = [field for model in models for field in model.model_fields.values()]

    # A part of the settings that is nested in others has no variable of its own.
    assert set(example()) - READ_BY_GUNICORN == {field.alias for field in fields if field.alias}


def test_the_example_shows_the_defaults_and_starts_both_services() -> None:
    shown = example()
    needed = {"GOOGLE_CLOUD_PROJECT", "PUBSUB_TOPIC", "ONESTOCK_HASH_KEYS", "PUBSUB_DEAD_LETTER_TOPIC"}
    api = {"ONESTOCK_API_URL", "ONESTOCK_SITE_ID", "ONESTOCK_USER_ID", "ONESTOCK_PASSWORD"}
    oidc = {"PUSH_AUTH", "PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT"}
    minimal = {name: shown[name] for name in needed | oidc | api}

    assert ReceiverSettings.from_environ(shown) == ReceiverSettings.from_environ(minimal)
    assert WorkerSettings.from_environ(shown) == WorkerSettings.from_environ(minimal)
    assert WebhookSettings.from_environ(shown) == WebhookSettings.from_environ(minimal)
    assert DestinationSettings.from_environ(shown) == DestinationSettings.from_environ(minimal)


def test_every_wrong_setting_is_named_and_no_secret_shown() -> None:
    environ = {"ONESTOCK_HASH_KEYS": "a-secret", "MAX_BODY_BYTES": "many", "PUBSUB_TOPIC": "x"}

    with pytest.raises(ConfigurationError) as caught:
        ReceiverSettings.from_environ(environ)

    text = str(caught.value)
    assert all(name in text for name in ("GOOGLE_CLOUD_PROJECT", "MAX_BODY_BYTES", "PUBSUB_TOPIC"))
    assert "a-secret" not in text
    assert "a-secret" not in repr(ReceiverSettings.from_environ({**example(), "ONESTOCK_HASH_KEYS": "a-secret"}))


def test_the_readme_lists_every_outcome() -> None:
    table = (ROOT / "README.md").read_text()

    assert {outcome for outcome in Outcome if not re.search(rf"`{outcome}`", table)} == set()
