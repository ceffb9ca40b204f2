"""What a person most likely mistakes is refused before anything is asked or sent."""

from pathlib import Path

import pytest

from relay.local.environment import LOCAL_ENV, announced
from tests.support.parts import Tool
from tests.support.ports import free_port

KEYS = {"ONESTOCK_HASH_KEYS": "test-key"}


def refusal(*arguments: str, **environ: str) -> str:
    ended = Tool({**KEYS, **environ}).run(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    return " ".join(ended.stderr.split())


@pytest.mark.parametrize("name", ["foo.json", ".relay/captured/foo.json"])
def test_a_file_is_not_sent_as_an_event_type(name: str) -> None:
    wanted = f"{name} looks like a file: relay send --captured {name}, or relay send EVENT_TYPE --body {name}"

    assert wanted in refusal("send", name)


@pytest.mark.parametrize("option", ["--field=a=b", "--order=ORD-1"])
def test_a_body_comes_without_further_fields(option: str) -> None:
    assert "leave out --order and --field" in refusal("send", "order_state_changed", "--body", __file__, option)


def test_a_url_begins_with_its_scheme() -> None:
    assert "write http:// or https://" in refusal("send", "order_state_changed", "--url", "localhost:8080")


def test_a_refused_connection_is_said_in_words() -> None:
    ended = Tool(KEYS).run("send", "order_state_changed", "--url", f"http://127.0.0.1:{free_port()}")

    assert ended.returncode == 1
    assert "connection refused: does the receiver run there?" in ended.stdout


def test_an_unknown_host_is_said_in_words() -> None:
    ended = Tool(KEYS).run("send", "order_state_changed", "--url", "https://nosuch.invalid")

    assert ended.returncode == 1
    assert "unknown host: is the URL right?" in " ".join(ended.stdout.split())


@pytest.mark.parametrize("environ", [{"RECEIVER_URL": "http://127.0.0.1:1"}, {"GOOGLE_CLOUD_PROJECT": "shop-1"}])
def test_another_receiver_beside_a_local_run_needs_its_key(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / LOCAL_ENV).parent.mkdir()
    local = {"GOOGLE_CLOUD_PROJECT": "local-relay", "RECEIVER_URL": "http://127.0.0.1:2", "ONESTOCK_HASH_KEYS": "k"}
    with announced(tmp_path, local):
        ended = Tool(environ, tmp_path).run("send", "order_state_changed")

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[1:] == ["Name the receiver's hash key: --key or ONESTOCK_HASH_KEYS"]


def test_without_a_local_run_a_missing_key_names_both_ways() -> None:
    told = refusal("send", "order_state_changed", ONESTOCK_HASH_KEYS="")

    assert told.startswith("No local run goes on in this folder (make run).")
    assert "--key or ONESTOCK_HASH_KEYS" in told


@pytest.mark.parametrize("width", [80, 120])
def test_what_was_sent_fits_the_terminal(width: int) -> None:
    told = Tool({**KEYS, "COLUMNS": str(width)}).run(
        "send", "order_state_changed", f"--url=http://127.0.0.1:{free_port()}", "--order=EU-WEB-2026-000123456"
    )

    assert max(len(line) for line in told.stdout.splitlines()) <= width


def test_a_replay_of_the_local_run_names_rerun_before_it_asks(tmp_path: Path) -> None:
    (tmp_path / LOCAL_ENV).parent.mkdir()
    local = {
        "GOOGLE_CLOUD_PROJECT": "local-relay",
        "PUBSUB_TOPIC": "events",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
        "RELAY_LOCAL_URL": "http://127.0.0.1:1",
    }
    with announced(tmp_path, local):
        ended = Tool({}, tmp_path).run("replay", "--since", "1h")

    assert ended.returncode == 2
    assert "The Pub/Sub emulator cannot replay" in ended.stderr
    assert "run one event again: relay rerun EVENT" in ended.stderr
    assert "?" not in ended.stderr


def test_a_mistyped_event_type_is_named_before_a_missing_url() -> None:
    told = refusal("webhooks", "create", "order_state_change", ONESTOCK_API_URL="http://127.0.0.1:1")

    assert "is 'order_state_changed' meant?" in told
    assert "--as-it-is" in told
