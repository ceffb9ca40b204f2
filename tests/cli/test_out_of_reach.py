"""A command whose other side cannot be reached says so soon, in one line: what, where, and which variable names it."""

import time

import pytest

from tests.support.parts import Tool
from tests.support.ports import free_port

SECONDS = 20  # A command needs some 8; the rest is for a busy machine.
PUBSUB = {
    "GOOGLE_CLOUD_PROJECT": "shop-1",
    "PUBSUB_TOPIC": "events",
    "PUBSUB_DEAD_LETTER_SUBSCRIPTION": "dead-pull",
}


def said(environ: dict[str, str], *arguments: str) -> str:
    """Run a command that must fail soon; return its one line."""
    started = time.monotonic()
    ended = Tool(environ).run(*arguments)
    assert time.monotonic() - started < SECONDS
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (1, "", 1)
    return ended.stderr.strip()


@pytest.mark.parametrize(
    "command", ["replay --since 1h --yes", "pause --reason x", "resume", "dead-letters list", "dead-letters redrive"]
)
def test_an_emulator_that_is_not_there_is_told_soon(command: str) -> None:
    host = f"127.0.0.1:{free_port()}"

    line = said({**PUBSUB, "PUBSUB_EMULATOR_HOST": host}, *command.split())

    wanted = f"the Pub/Sub emulator at {host} does not answer (Connection refused): start it, or unset "
    assert line.endswith(f"{wanted}PUBSUB_EMULATOR_HOST")


def test_missing_credentials_are_one_line() -> None:
    # Else Google's library asks the network whether this is a machine of theirs.
    offline = {"HOME": "/nonexistent", "NO_GCE_CHECK": "true", **PUBSUB}

    assert "log in: gcloud auth application-default login" in said(offline, "dead-letters", "list")
