"""The doctor's commands are gcloud's, and mend: run as they are printed, after which the check is good."""

import subprocess
from pathlib import Path

import pytest

from relay.doctor.findings import Finding
from tests.support.gcloud import environ_at
from tests.system.test_doctor_on_the_emulator import (
    Emulated,
    bad_checks,
    dead_letters,
    emulated,
    pubsub,
    pull,
    push,
    topic,
)

__all__ = ["emulated", "pubsub"]  # fixtures

pytestmark = pytest.mark.usefixtures("warm_gcloud")
# The emulator refuses them; that gcloud knows them is shown by its own linter.
BEYOND_THE_EMULATOR = ("subscriptions seek", "--expiration-period=never")


def mending(findings: list[Finding]) -> list[str]:
    """Return the commands that the findings print, each once and in their order."""
    return list(dict.fromkeys(command for finding in findings for command in finding.commands))


def run(command: str, environ: dict[str, str]) -> None:
    ended = subprocess.run(
        ["bash", "-c", command], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, f"{command}: {ended.stderr}"


def mend(emulated: Emulated, home: Path) -> set[str]:
    """Run what the doctor prints and return what is bad after that."""
    commands = mending([finding for finding in emulated.examine() if finding.check != "worker answers"])
    for command in commands:
        # A subscription that is made anew never expires, too: only the update is beyond the emulator.
        if not any(words in command for words in BEYOND_THE_EMULATOR) or " create " in command:
            run(command, environ_at(home, PUBSUB=f"http://{emulated.pubsub.emulator.host}/"))
    return bad_checks(emulated.examine()) - {"worker answers"}


def test_what_is_missing_is_made(emulated: Emulated, tmp_path: Path) -> None:
    for path in (push(emulated), pull(emulated), topic(emulated), dead_letters(emulated)):
        emulated.remove(path)

    assert mend(emulated, tmp_path) == set()


def test_what_is_set_wrong_is_changed(emulated: Emulated, tmp_path: Path) -> None:
    emulated.patch(topic(emulated), messageRetentionDuration="600s")
    emulated.change(
        push(emulated),
        pushConfig={"pushEndpoint": "http://127.0.0.1:9/pubsub/push"},
        ackDeadlineSeconds=10,
        retryPolicy=None,
        messageRetentionDuration="600s",
        deadLetterPolicy=None,
    )
    emulated.change(pull(emulated), messageRetentionDuration="600s", pushConfig={"pushEndpoint": "http://127.0.0.1:9/"})

    assert mend(emulated, tmp_path) == set()


def test_what_cannot_be_changed_is_made_anew(emulated: Emulated, tmp_path: Path) -> None:
    emulated.change(push(emulated), enableMessageOrdering=None)
    emulated.change(pull(emulated), topic=topic(emulated))

    assert mend(emulated, tmp_path) == set()
