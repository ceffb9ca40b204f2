"""A command whose other side cannot be reached says so soon, in one line: what, where, and which variable names it."""

import time

import pytest

from tests.support.parts import Tool
from tests.support.ports import free_port

SECONDS = 40  # A command needs some 8, Google's own patience is 48 and more; the rest is for a busy machine.
PUBSUB = {
    "GOOGLE_CLOUD_PROJECT": "shop-1",
    "PUBSUB_TOPIC": "events",
    "PUBSUB_DEAD_LETTER_SUBSCRIPTION": "dead-pull",
}
ONESTOCK = {"ONESTOCK_SITE_ID": "s", "ONESTOCK_USER_ID": "u", "ONESTOCK_PASSWORD": "p"}


def said(environ: dict[str, str], *arguments: str) -> str:
    """Run a command that must fail soon; return its one line."""
    started = time.monotonic()
    ended = Tool(environ).run(*arguments)
    assert time.monotonic() - started < SECONDS
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (1, "", 1)
    return ended.stderr.strip()


@pytest.mark.parametrize(
    "command",
    [
        "replay --since 1h --yes",
        "reconcile --since 1h --yes",
        "pause --reason x",
        "resume",
        "dead-letters list",
        "dead-letters redrive",
    ],
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


@pytest.mark.parametrize(
    ("url", "why"),
    [("http://127.0.0.1:1", "connection refused"), ("https://nosuch.invalid", "unknown host")],
)
def test_an_api_that_is_not_there_is_told_soon(url: str, why: str) -> None:
    line = said({**ONESTOCK, "ONESTOCK_API_URL": url}, "webhooks", "list")

    wanted = f"no connection to {url} (ONESTOCK_API_URL): {why}, after 2 attempts; is the URL right, can this machine"
    assert wanted in line


@pytest.mark.parametrize("order", [(), ("--order", "ORD-1")])
def test_a_webhook_is_sent_without_waiting_for_an_api_that_is_not_there(order: tuple[str, ...]) -> None:
    api, receiver = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    environ = {**ONESTOCK, "ONESTOCK_API_URL": api, "ONESTOCK_HASH_KEYS": "test-key"}
    started = time.monotonic()

    ended = Tool(environ).run("send", "order_state_changed", "--url", receiver, *order)

    assert time.monotonic() - started < SECONDS
    first_line = ended.stderr.splitlines()[0]
    assert first_line.startswith("Sending about order ORD-")
    assert f"which may not exist: OneStock, POST /v2/login: no connection to {api} (ONESTOCK_API_URL)" in first_line
    assert "attempts" not in first_line
    assert "will not find it" not in first_line
