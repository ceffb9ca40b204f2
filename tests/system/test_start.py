"""A wrong setting stops the start with one line that names it."""

import subprocess
import sys

import pytest

from relay.local.services import ROOT
from tests.support.ports import free_port

GOOD = {
    "GOOGLE_CLOUD_PROJECT": "test-relay",
    "PUBSUB_TOPIC": "events",
    "PUBSUB_DEAD_LETTER_TOPIC": "dead",
    "ONESTOCK_HASH_KEYS": "a-test-key",
    "PUSH_AUTH": "off",
}
API = {
    "ONESTOCK_API_URL": "https://api.example.com",
    "ONESTOCK_SITE_ID": "test-site",
    "ONESTOCK_USER_ID": "test-user",
    "ONESTOCK_PASSWORD": "a-test-key",
}


@pytest.mark.parametrize(
    ("service", "wrong", "named"),
    [
        ("receiver", {"ONESTOCK_HASH_KEYS": ""}, "ONESTOCK_HASH_KEYS"),
        ("receiver", {"ONESTOCK_SIGNATURE_TOLERANCE": "soon"}, "ONESTOCK_SIGNATURE_TOLERANCE"),
        ("receiver", {"ONESTOCK_SIGNATURE": "off", "K_SERVICE": "receiver"}, "ONESTOCK_SIGNATURE"),
        ("receiver", {"ONESTOCK_SIGNATURE": "record", "K_SERVICE": "receiver"}, "ONESTOCK_RECORD_UNTIL"),
        ("receiver", {"RECEIVER_THREADS": "many"}, "RECEIVER_THREADS"),
        ("receiver", {"MAX_WAITING_PUBLISHES": "200"}, "RECEIVER_THREADS"),
        ("worker", {"PUSH_AUTH": ""}, "PUSH_AUTH"),
        ("worker", {"PUSH_AUTH": "oidc"}, "PUSH_AUDIENCE"),
        ("worker", {"LEASE_SECONDS": "60"}, "LEASE_SECONDS"),
        ("worker", {"WORKER_THREADS": "1"}, "WORKER_THREADS"),
        (
            "worker",
            {"FORWARD_URLS": "*=http://shop.example.com/", "PUSH_AUTH": "iam", "K_SERVICE": "w"},
            "FORWARD_URLS",
        ),
        ("worker", {**API, "ONESTOCK_PASSWORD": ""}, "ONESTOCK_PASSWORD"),
        ("worker", {**API, "ONESTOCK_API_URL": "http://a-test-key@api.example.com"}, "ONESTOCK_API_URL"),
        ("worker", {**API, "ONESTOCK_API_VERSIONS": "basket=v2"}, "ONESTOCK_API_VERSIONS"),
        ("worker", {**API, "ONESTOCK_API_BUDGET_SECONDS": "60"}, "ONESTOCK_API_BUDGET_SECONDS"),
    ],
)
def test_a_wrong_setting_is_one_line_on_stderr(service: str, wrong: dict[str, str], named: str) -> None:
    environ = {**GOOD, **wrong, "PORT": str(free_port()), "BIND_HOST": "127.0.0.1"}

    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", f"main:{service}()"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert named in ended.stderr
    assert "a-test-key" not in ended.stderr


def test_the_receiver_loads_nothing_that_it_does_not_need() -> None:
    program = "import main, sys; main.receiver(); print(*sorted(sys.modules))"
    environ = {**GOOD, "PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}

    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )

    unneeded = (
        "relay.investigation",
        "relay.worker",
        "relay.onestock",
        "relay.destinations",
        "relay.stores",
        "google.cloud.pubsub_v1",
        "google.cloud.firestore",
        "httpcore",
        "standardwebhooks",
    )
    assert "relay.receiver.app" in loaded.stdout, loaded.stderr
    assert [name for name in loaded.stdout.split() if name.startswith(unneeded)] == []
